"""The calls that make, show, extend and end grants."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from link_registry.entries import ID_CHARS, link_id_from
from link_registry.grants.rules import (
    ACTIVE,
    SLUG_CHARS,
    SLUG_DRAWS,
    STATES,
    Grant,
    minutes_of,
    new_slug,
    owner_of,
    refuse_fields,
    wish_of,
)
from link_registry.grants.store import Draw, GrantStore
from link_registry.paging import cursor_after, page_of, refuse_unknown
from milepost.clock import Clock, Entropy
from milepost.errors import RejectedError
from milepost.http import guarded, json_body, json_response, principal_of
from milepost.logs import get_log
from milepost.tokens import GRANTS_READ, GRANTS_WRITE, LINKS_WRITE
from milepost.vocabulary import GrantId, LinkId

log = get_log(__name__)

CREATED = 201
PAGE_MAX, PAGE_DEFAULT = 200, "100"  # a grant may be as large as a hundred links


class Grants:
    """The grants as a resource."""

    def __init__(self, store: GrantStore, clock: Clock, entropy: Entropy, *, cleans: bool) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._cleans = cleans  # whether there is a backend that cleans up

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Say which call needs which scope."""
        one = "/v1/grants/{id}"
        router.add_post("/v1/grants", guarded(GRANTS_WRITE, self.create))
        router.add_get("/v1/grants", guarded(GRANTS_READ, self.read_page))
        router.add_get(one, guarded(GRANTS_READ, self.read))
        router.add_post(f"{one}/extend", guarded(GRANTS_WRITE, self.extend))
        router.add_post(f"{one}/end", guarded(GRANTS_WRITE, self.end))
        router.add_delete(one, guarded(GRANTS_WRITE, self.end))

    async def create(self, request: web.Request) -> web.Response:
        """Make a grant with its link."""
        refuse_unknown(request.query)
        wish, caller = wish_of(await json_body(request)), principal_of(request)
        if wish.cleanup_ids and not self._cleans:
            msg = "cleanup_ids: nobody would clean up; the registry has no MILEPOST_CLEANUP_URL"
            raise RejectedError(msg)
        if not wish.makes_link:
            caller.require(LINKS_WRITE)  # it changes a link of somebody's
        grant = await self._store.create(wish, self._draw(), self._clock.now(), caller.name)
        log.info("grant.made", grant=grant.id, link=grant.link, cleanups=len(grant.cleanups))
        return self._shown(grant, status=CREATED)

    async def read_page(self, request: web.Request) -> web.Response:
        """Answer with one page of grants, and the cursor of the next."""
        query = request.query
        refuse_unknown(query, "owner", "state", "limit", "cursor")
        page = page_of(
            {"limit": query.get("limit", PAGE_DEFAULT), "cursor": query.get("cursor", "")}
        )
        limit = min(page.limit, PAGE_MAX)
        now = self._clock.now()
        found = await self._store.page(
            after=page.after,
            limit=limit + 1,
            owner=owner_of(query["owner"]) if "owner" in query else None,
            active=_active(query),
            now=now,
        )
        shown = found[:limit]
        following = cursor_after(LinkId(shown[-1].id)) if len(found) > limit else None
        return json_response({"grants": [each.to_json(now) for each in shown], "next": following})

    async def read(self, request: web.Request) -> web.Response:
        """Answer with one grant."""
        refuse_unknown(request.query)
        return self._shown(await self._store.get(request.match_info["id"]))

    async def extend(self, request: web.Request) -> web.Response:
        """Put the end of a grant off."""
        refuse_unknown(request.query)
        minutes = _minutes(await json_body(request))
        who, now = principal_of(request).name, self._clock.now()
        grant = await self._store.extend(request.match_info["id"], minutes, now, who)
        log.info("grant.extended", grant=grant.id, minutes=minutes)
        return self._shown(grant)

    async def end(self, request: web.Request) -> web.Response:
        """End a grant now."""
        refuse_unknown(request.query)
        who, now = principal_of(request).name, self._clock.now()
        grant = await self._store.end(request.match_info["id"], now, who)
        log.info("grant.ended", grant=grant.id, cleanups=len(grant.cleanups))
        return self._shown(grant)

    def _draw(self) -> Draw:
        """Have chance choose whatever the caller does not."""
        return Draw(
            GrantId(link_id_from(self._entropy(ID_CHARS))),
            link_id_from(self._entropy(ID_CHARS)),
            [new_slug(self._entropy(SLUG_CHARS)) for _ in range(SLUG_DRAWS)],
        )

    def _shown(self, grant: Grant, *, status: int = 200) -> web.Response:
        return json_response({"grant": grant.to_json(self._clock.now())}, status=status)


def _active(query: Mapping[str, str]) -> bool | None:
    state = query.get("state")
    if state is None:
        return None
    if state in STATES:
        return state == ACTIVE
    msg = f"state: want one of {', '.join(STATES)}, got {state[:20]!r}"
    raise RejectedError(msg)


def _minutes(body: Any) -> int:
    if not isinstance(body, dict):
        msg = "the body: want an object with the field minutes"
        raise RejectedError(msg)
    refuse_fields(body, ("minutes",))
    return minutes_of(body.get("minutes"), "minutes")
