"""The calls that make, show, extend and end grants."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from link_registry import metrics
from link_registry.entries import ID_CHARS, link_id_from
from link_registry.grants.abandoning.store import AbandonStore
from link_registry.grants.rules import (
    STATES,
    Grant,
    minutes_of,
    owner_of,
    refuse_fields,
    wish_of,
)
from link_registry.grants.store import Draw, GrantStore
from link_registry.once.keys import digest_of, key_of
from link_registry.once.store import Call
from link_registry.paging import cursor_of, limit_of, place_of
from link_registry.policy import Policy
from link_registry.slugs import slugs
from link_registry.store import LinkStore
from milepost.clock import Clock, Entropy
from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.http import Handler, json_body, json_response, principal_of
from milepost.logs import get_log
from milepost.tokens import LINKS_WRITE
from milepost.vocabulary import GrantId, Millis

log = get_log(__name__)

CREATED = 201
CREATE = "create_grant"
KEPT_MAX = 2_000  # calls that are remembered
PAGE_MAX = 200  # a grant may be as large as a hundred links


class Grants:
    """The grants as a resource."""

    def __init__(
        self, links: LinkStore, clock: Clock, entropy: Entropy, policy: Policy, *, cleans: bool
    ) -> None:
        self._store = GrantStore(links)
        self._abandoned = AbandonStore(links)
        self._clock = clock
        self._entropy = entropy
        self._policy = policy
        self._cleans = cleans  # whether there is a backend that cleans up

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.grants.api`."""
        return {
            CREATE: self.create,
            "list_grants": self.read_page,
            "read_grant": self.read,
            "extend_grant": self.extend,
            "end_grant": self.end,
            "delete_grant": self.end,
            "abandon_grant": self.abandon,
        }

    async def create(self, request: web.Request) -> web.Response:
        """Make a grant with its link."""
        wish, caller = wish_of(await json_body(request)), principal_of(request)
        call = Call(
            name=CREATE,
            who=caller,
            key=key_of(request.headers),
            digest=digest_of(await request.read()),
            now=self._clock.now(),
            kept_max=KEPT_MAX,
        )
        if wish.cleanup_ids and not self._cleans:
            accepted = "none: nobody would clean up, as the registry has no MILEPOST_CLEANUP_URL"
            raise FieldError(field="cleanup_ids", accepted=accepted, got="some")
        if not wish.makes_link:
            caller.require(LINKS_WRITE)  # it changes a link of somebody's
        made = await self._store.create(
            *(wish, self._draw(), call, lambda grant: _told(grant, call.now)),
            check=self._policy.refuse,
        )
        if made.grant is not None:
            ids = {"grant": made.grant.id, "link": made.grant.link}
            log.info("grant.made", **ids, cleanups=len(made.grant.cleanups))
        return _answer(made.answer, status=CREATED)

    async def read_page(self, request: web.Request) -> web.Response:
        """Answer with one page of grants, and the cursor of the next."""
        query, now = request.query, self._clock.now()
        owner = owner_of(query["owner"]) if "owner" in query else None
        state, limit = _state(query), min(limit_of(query), PAGE_MAX)
        asked = f"grants {state} {owner or ''}"
        place = place_of(query, asked, (str,))
        found = await self._store.page(
            after=str(place[0]) if place else "",
            limit=limit + 1,
            owner=owner,
            state=state,
            now=now,
        )
        shown = found[:limit]
        following = cursor_of((shown[-1].id,), asked) if len(found) > limit else None
        return json_response({"grants": [each.to_json(now) for each in shown], "next": following})

    async def read(self, request: web.Request) -> web.Response:
        """Answer with one grant."""
        return self._shown(await self._store.get(request.match_info["id"]))

    async def extend(self, request: web.Request) -> web.Response:
        """Put the end of a grant off."""
        minutes = _minutes(await json_body(request))
        who, now = principal_of(request).name, self._clock.now()
        grant = await self._store.extend(request.match_info["id"], minutes, now, who)
        log.info("grant.extended", grant=grant.id, minutes=minutes)
        return self._shown(grant)

    async def end(self, request: web.Request) -> web.Response:
        """End a grant now."""
        who, now = principal_of(request).name, self._clock.now()
        grant = await self._store.end(request.match_info["id"], now, who)
        log.info("grant.ended", grant=grant.id, cleanups=len(grant.cleanups))
        return self._shown(grant)

    async def abandon(self, request: web.Request) -> web.Response:
        """Give up cleaning up after a grant."""
        who, now = principal_of(request).name, self._clock.now()
        grant, is_news = await self._abandoned.abandon(request.match_info["id"], now, who)
        if is_news:
            left = sum(each.done_ms is None for each in grant.cleanups)
            metrics.CLEANUPS_ABANDONED.inc(left)
            log.warning("grant.abandoned", grant=grant.id, cleanups=left, who=who)
        return self._shown(grant)

    def _draw(self) -> Draw:
        """Have chance choose whatever the caller does not."""
        return Draw(
            GrantId(link_id_from(self._entropy(ID_CHARS))),
            link_id_from(self._entropy(ID_CHARS)),
            slugs(self._entropy),
        )

    def _shown(self, grant: Grant) -> web.Response:
        return _answer(_told(grant, self._clock.now()))


def _told(grant: Grant, now: Millis) -> bytes:
    return orjson.dumps({"grant": grant.to_json(now)})


def _answer(body: bytes, *, status: int = 200) -> web.Response:
    return json_response(orjson.Fragment(body), status=status)


def _state(query: Mapping[str, str]) -> str | None:
    state = query.get("state")
    if state is None or state in STATES:
        return state
    raise FieldError(field="state", accepted=f"one of {', '.join(STATES)}", got=shape_of(state))


def _minutes(body: Any) -> int:
    if not isinstance(body, dict):
        accepted = "an object with the field minutes"
        raise FieldError(field="the body", accepted=accepted, got=shape_of(body))
    refuse_fields(body, ("minutes",))
    return minutes_of(body, "minutes")
