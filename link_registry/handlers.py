"""The calls that read and change links."""

from aiohttp import web

from link_registry.entries import ID_CHARS, Entry, fields_of, link_id_from, new_entry, revised
from link_registry.explaining import read_visit
from link_registry.paging import cursor_after, page_of, refuse_unknown
from link_registry.store import LinkStore
from milepost.clock import Clock, Entropy
from milepost.http import guarded, json_body, json_response, principal_of
from milepost.targeting.choosing import explain
from milepost.tokens import LINKS_READ, LINKS_WRITE

CREATED, NO_CONTENT = 201, 204


class Links:
    """The links as a resource."""

    def __init__(self, store: LinkStore, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Say which call needs which scope."""
        one = "/v1/links/{id}"
        router.add_post("/v1/links", guarded(LINKS_WRITE, self.create))
        router.add_get("/v1/links", guarded(LINKS_READ, self.read_page))
        router.add_get(one, guarded(LINKS_READ, self.read))
        router.add_get(f"{one}/explain", guarded(LINKS_READ, self.explain))
        router.add_patch(one, guarded(LINKS_WRITE, self.revise))
        router.add_delete(one, guarded(LINKS_WRITE, self.delete))

    async def create(self, request: web.Request) -> web.Response:
        """Make a link."""
        refuse_unknown(request.query)
        fields = fields_of(await json_body(request))
        entry = new_entry(fields, link_id_from(self._entropy(ID_CHARS)), self._clock.now())
        await self._store.create(entry, principal_of(request).name)
        return _shown(entry, status=CREATED)

    async def read_page(self, request: web.Request) -> web.Response:
        """Answer with one page of links, and the cursor of the next."""
        page = page_of(request.query)
        entries = await self._store.entries_after(page.after, page.limit + 1)
        shown = entries[: page.limit]
        following = cursor_after(shown[-1].link.id) if len(entries) > page.limit else None
        return json_response({"links": [entry.to_json() for entry in shown], "next": following})

    async def read(self, request: web.Request) -> web.Response:
        """Answer with one link."""
        refuse_unknown(request.query)
        return _shown(await self._store.get(request.match_info["id"]))

    async def explain(self, request: web.Request) -> web.Response:
        """Tell what becomes of a visit that might come, and why."""
        link = (await self._store.get(request.match_info["id"])).link
        asked = read_visit(link, request.query, self._clock.now())
        told = explain(link, asked.facts, asked.path, asked.query)
        return json_response({"explanation": told})

    async def revise(self, request: web.Request) -> web.Response:
        """Change some fields of a link."""
        refuse_unknown(request.query)
        fields, now = fields_of(await json_body(request)), self._clock.now()
        entry = await self._store.revise(
            request.match_info["id"],
            lambda old: revised(old, fields, now),
            principal_of(request).name,
        )
        return _shown(entry)

    async def delete(self, request: web.Request) -> web.Response:
        """Take a link away."""
        refuse_unknown(request.query)
        who = principal_of(request).name
        await self._store.delete(request.match_info["id"], self._clock.now(), who)
        return web.Response(status=NO_CONTENT)


def _shown(entry: Entry, *, status: int = 200) -> web.Response:
    return json_response({"link": entry.to_json()}, status=status)
