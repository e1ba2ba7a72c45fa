"""The calls that read and change links."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from link_registry.drawing import drawn
from link_registry.entries import (
    ID_CHARS,
    Entry,
    fields_of,
    link_id_from,
    new_entry,
    revised,
)
from link_registry.explaining import read_address, read_visit
from link_registry.listing.question import question_of
from link_registry.listing.store import Listing, place_in
from link_registry.narrowing import refuse_unseen, refuse_visit
from link_registry.paging import cursor_of, limit_of, place_of
from link_registry.policy import Policy
from link_registry.slugs import slugs
from link_registry.store import LinkStore
from milepost.clock import Clock, Entropy
from milepost.errors import NotFoundError
from milepost.etags import etag_of, wanted
from milepost.http import Handler, json_body, json_response, principal_of
from milepost.links import is_reserved
from milepost.targeting.choosing import explain

CREATED, NO_CONTENT = 201, 204
HOSTS = "hosts"


class Links:
    """The links as a resource."""

    def __init__(self, store: LinkStore, clock: Clock, entropy: Entropy, policy: Policy) -> None:
        self._store = store
        self._listing = Listing(store.readers)
        self._clock = clock
        self._entropy = entropy
        self._policy = policy

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.api`."""
        return {
            "create_link": self.create,
            "list_links": self.read_page,
            "find_link": self.find,
            "read_link": self.read,
            "explain_link": self.explain,
            "change_link": self.revise,
            "delete_link": self.delete,
            "list_changes": self.read_changes,
            "list_hosts": self.read_hosts,
        }

    async def create(self, request: web.Request) -> web.Response:
        """Make a link."""
        fields, who = fields_of(await json_body(request)), principal_of(request)
        if "path" in fields:
            entry = self._new(fields)
            refuse_unseen(who, entry)
            await self._store.create(entry, who.name)
        else:
            first = self._new(fields | {"path": "/any"})  # refuses the other fields, if need be
            refuse_unseen(who, first)
            entries = drawn(fields, slugs(self._entropy), first.link.id, first.created_ms)
            entry = await self._store.create_free(entries, who.name)
        return _shown(entry, status=CREATED)

    def _new(self, fields: dict[str, Any]) -> Entry:
        entry = new_entry(fields, link_id_from(self._entropy(ID_CHARS)), self._clock.now())
        self._policy.refuse(entry.link)
        return entry

    async def read_page(self, request: web.Request) -> web.Response:
        """Answer with one page of links, and the cursor of the next."""
        asked, limit = question_of(request.query, principal_of(request)), limit_of(request.query)
        after = place_of(request.query, asked.text(), asked.place_kinds())
        entries = await self._listing.links(asked, after, limit + 1, self._clock.now())
        shown = entries[:limit]
        more = len(entries) > limit
        following = cursor_of(place_in(asked, shown[-1]), asked.text()) if more else None
        return json_response({"links": [entry.to_json() for entry in shown], "next": following})

    async def read(self, request: web.Request) -> web.Response:
        """Answer with one link."""
        return _shown(await self._seen(request))

    async def _seen(self, request: web.Request) -> Entry:
        """Return the link that a call names, if the caller sees it."""
        entry = await self._store.get(request.match_info["id"])
        refuse_unseen(principal_of(request), entry)
        return entry

    async def find(self, request: web.Request) -> web.Response:
        """Answer with the link that a visit would find."""
        (host, path), who = read_address(request.query), principal_of(request)
        refuse_visit(who, host)
        own = path == "/" or is_reserved(path)  # the edge answers there by itself
        entry = None if own else await self._listing.answering(host, path)
        if entry is None:
            msg = "no link answers there"
            raise NotFoundError(msg)
        refuse_unseen(who, entry)
        return _shown(entry)

    async def explain(self, request: web.Request) -> web.Response:
        """Tell what becomes of a visit that might come, and why."""
        link = (await self._seen(request)).link
        asked = read_visit(link, request.query, self._clock.now())
        told = explain(link, asked.facts, asked.path, asked.query)
        return json_response({"explanation": told})

    async def revise(self, request: web.Request) -> web.Response:
        """Change some fields of a link."""
        fields, now = fields_of(await json_body(request)), self._clock.now()
        versions, who = wanted(request.headers.get("If-Match")), principal_of(request)

        def revise(old: Entry) -> Entry:
            refuse_unseen(who, old)
            versions.refuse_other(old.version)
            new = revised(old, fields, now)
            refuse_unseen(who, new)  # nobody can put a link where they would not see it
            self._policy.refuse_change(old.link, new.link)
            return new

        return _shown(await self._store.revise(request.match_info["id"], revise, who.name))

    async def delete(self, request: web.Request) -> web.Response:
        """Take a link away."""
        versions, who = wanted(request.headers.get("If-Match")), principal_of(request)

        def check(old: Entry) -> None:
            refuse_unseen(who, old)
            versions.refuse_other(old.version)

        await self._store.delete(request.match_info["id"], self._clock.now(), who.name, check)
        return web.Response(status=NO_CONTENT)

    async def read_changes(self, request: web.Request) -> web.Response:
        """Answer with one page of a link's history."""
        link_id, limit = request.match_info["id"], limit_of(request.query)
        place = place_of(request.query, f"changes {link_id}", (int,))
        if principal_of(request).narrowed:  # of a link that is gone nobody knows who saw it
            await self._seen(request)
        found = await self._listing.changes(link_id, int(place[0]) if place else 0, limit + 1)
        if not found and place is None:
            await self._store.get(link_id)  # one whose changes are too old has none to show
        shown = found[:limit]
        more = len(found) > limit
        following = cursor_of((shown[-1].version,), f"changes {link_id}") if more else None
        return json_response({"changes": shown, "next": following})

    async def read_hosts(self, request: web.Request) -> web.Response:
        """Answer with one page of hosts."""
        limit, place = limit_of(request.query), place_of(request.query, HOSTS, (str,))
        who, after = principal_of(request), str(place[0]) if place else ""
        found = await self._listing.hosts(who, after, limit + 1)
        hosts = [{"host": host, "links": links} for host, links in found[:limit]]
        following = cursor_of((found[limit - 1][0],), HOSTS) if len(found) > limit else None
        return json_response({"hosts": hosts, "next": following})


def _shown(entry: Entry, *, status: int = 200) -> web.Response:
    response = json_response({"link": entry.to_json()}, status=status)
    response.headers["ETag"] = etag_of(entry.version)
    if status == CREATED:
        response.headers["Location"] = f"/v1/links/{entry.link.id}"
    return response
