"""The schedule of grants: ending what has expired, and cleaning up after it."""

import contextlib

from link_registry import metrics
from link_registry.grants.backend import Backend, Target
from link_registry.grants.cleaning import Cleaner
from link_registry.grants.store import GrantStore
from link_registry.grants.turns import CALLS_MAX
from milepost.clock import Clock, Entropy
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.schedule import Schedule

log = get_log(__name__)

EVERY_SECONDS = 60.0
SOON_SECONDS = 0.05  # a moment past an end, so that it lies behind
ENDED_PER_RUN = 100  # in one transaction; the feed and other writers go on in between


class Ender:
    """Ends grants when their time has come."""

    def __init__(self, store: GrantStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def step(self) -> float:
        """End what has expired; return in how many seconds to do so again.

        Each minute, and when the next grant ends: none is shorter than a minute, so none
        is made meanwhile that would end before.
        """
        try:
            more = await self._end()
            pause = 0.0 if more else await self._pause()
            await self._count()
        except ServiceError as error:
            metrics.GRANT_ERRORS.inc()
            log.warning("step.failed", step="grants", code=error.code, reason=str(error))
            return EVERY_SECONDS / 10
        return pause

    async def _end(self) -> bool:
        ended = await self._store.end_expired(self._clock.now(), ENDED_PER_RUN)
        metrics.GRANTS_ENDED.inc(len(ended))
        if ended:
            cleanups = sum(len(grant.cleanups) for grant in ended)
            log.info("grants.ended", grants=len(ended), cleanups=cleanups)
        return len(ended) == ENDED_PER_RUN

    async def _pause(self) -> float:
        ends = await self._store.next_end()
        if ends is None:
            return EVERY_SECONDS
        seconds = (ends - self._clock.now()) / 1_000 + SOON_SECONDS
        return min(EVERY_SECONDS, max(SOON_SECONDS, seconds))

    async def _count(self) -> None:
        counts = await self._store.counts()
        metrics.GRANTS.labels("active").set(counts.active)
        metrics.GRANTS.labels("cleaning").set(counts.cleaning)
        metrics.GRANTS.labels("abandoned").set(counts.abandoned)
        metrics.CLEANUPS_WAITING.set(counts.waiting)
        metrics.CLEANUPS_FAILING.set(counts.failing)


async def run_grants(
    store: GrantStore, target: Target | None, clock: Clock, entropy: Entropy
) -> None:
    """End grants and clean up after them, for ever."""
    schedule = Schedule(clock)
    schedule.add("grants", Ender(store, clock).step)
    async with contextlib.AsyncExitStack() as stack:
        if target is not None:
            backend = await stack.enter_async_context(Backend.connect(target))
            cleaner = Cleaner(store, backend, clock, entropy)
            schedule.add("cleanups", cleaner.look)
            schedule.add("sums", cleaner.sum_up)
            for number in range(CALLS_MAX):
                schedule.add(f"cleanup-{number}", cleaner.call)
        await schedule.run()
