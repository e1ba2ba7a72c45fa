"""Describing stored agents anew, for a while at a time: a call that is cut short loses nothing."""

import asyncio
from collections.abc import Callable
from time import monotonic

from aggregator.reclassifying.store import LINKS_TOLD_MAX, Done, Moved, Prospect, look, reclassify
from milepost.database import QueryReaders, Writer

LOOK_SECONDS_MAX = 120.0


class Reclassifier:
    """Brings what is stored of user agents up to the lists of this version."""

    def __init__(
        self, writer: Writer, queries: QueryReaders, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._writer = writer
        self._queries = queries
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()

    async def look(self) -> Prospect:
        """Return what would change."""
        return await self._queries.ask(look, seconds_max=LOOK_SECONDS_MAX)

    async def run(self, seconds_max: float) -> Done:
        """Describe agents anew until none is left, or the time is over."""
        until = self._seconds() + seconds_max
        agents = changed = hits = 0
        async with self._one_at_a_time:
            while True:
                done = await self._writer.transact(reclassify)
                agents, changed = agents + done.agents, changed + done.changed
                hits += done.hits
                if not done.left or self._seconds() > until:
                    return Done(agents, changed, hits, done.left)


def told(prospect: Prospect) -> dict[str, object]:
    """Return *prospect* as it is told: the links with most hits."""
    return {
        "agents": prospect.agents,
        "changed": prospect.changed,
        "hits": prospect.hits.total(),
        "clicks": prospect.clicks.total(),
        "links": [
            _moved(moved, hits, prospect.clicks[moved])
            for moved, hits in prospect.hits.most_common(LINKS_TOLD_MAX)
        ],
    }


def _moved(moved: Moved, hits: int, clicks: int) -> dict[str, object]:
    named = {"link": moved.link} if moved.link is not None else {}
    return {**named, "from": moved.was, "to": moved.now, "hits": hits, "clicks": clicks}
