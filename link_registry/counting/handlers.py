"""The calls with which clicks are counted against their limits."""

from collections.abc import Mapping

from aiohttp import web

from link_registry import metrics
from link_registry.counting.rules import counts_of
from link_registry.counting.store import CountStore
from link_registry.paging import cursor_of, limit_of, place_of
from milepost.clock import Clock
from milepost.http import Handler, json_body, json_response, principal_of
from milepost.logs import get_log

log = get_log(__name__)

LIMITED = "limited"


class Counts:
    """The click limits as a resource."""

    def __init__(self, store: CountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.counting.api`."""
        return {"list_limited": self.read_limited, "note_counts": self.note}

    async def read_limited(self, request: web.Request) -> web.Response:
        """Answer with one page of the links whose clicks have to be counted."""
        limit, place = limit_of(request.query), place_of(request.query, LIMITED, (str,))
        found = await self._store.limited(str(place[0]) if place else "", limit + 1)
        shown = found[:limit]
        following = cursor_of((shown[-1].id,), LIMITED) if len(found) > limit else None
        return json_response({"links": shown, "next": following})

    async def note(self, request: web.Request) -> web.Response:
        """Take totals, and disable what has had enough."""
        counts, who = counts_of(await json_body(request)), principal_of(request).name
        disabled = await self._store.note(counts, self._clock.now(), who)
        metrics.LINKS_SPENT.inc(len(disabled))
        if disabled:  # which ones stands in their history
            log.info("links.spent", links=len(disabled))
        return json_response({"disabled": disabled})
