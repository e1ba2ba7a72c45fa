"""The job that applies retention, in pieces that hold nobody up for long.

What holds after each piece: hits that went are still counted, and it is noted since when
there are hits of their kind.  A run that is cut short is begun anew, and finds less to do.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic

from aggregator import metrics
from aggregator.forgetting.ages.rules import Ages
from aggregator.forgetting.ages.store import BEGINNING, HORIZONS, count_old, expire, tidy
from milepost.clock import Clock
from milepost.database import QueryReaders, Writer
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

EVERY_SECONDS = 3_600.0  # what goes are whole days: most runs find nothing
FAILED_SECONDS = 60.0
COUNT_SECONDS_MAX = 60.0


class Retention:
    """Removes hits that are too old."""

    def __init__(
        self,
        ages: Ages,
        writer: Writer,
        queries: QueryReaders,
        clock: Clock,
        *,
        counts: bool = False,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """If it *counts*, clicks have limits: no click goes before it is counted."""
        self._ages = ages
        self._writer = writer
        self._queries = queries
        self._clock = clock
        self._counts = counts
        self._seconds = seconds
        self._one_at_a_time = asyncio.Lock()

    async def step(self) -> float:
        """Apply retention; return how many seconds to wait."""
        try:
            removed, _ = await self.run()
        except ServiceError as error:
            log.warning("retention.failed", reason=str(error))
            return FAILED_SECONDS
        if removed.total():
            log.info("retention.applied", **removed)
        return EVERY_SECONDS

    def horizons(self) -> dict[str, int]:
        """Return before when hits go, of each kind."""
        return self._ages.horizons(self._clock.now())

    async def count(self) -> dict[str, int]:
        """Return how many hits would go, of each kind."""
        horizons = self.horizons()
        work = partial(count_old, horizons=horizons)
        return await self._queries.ask(work, seconds_max=COUNT_SECONDS_MAX)

    async def since(self) -> dict[str, int]:
        """Return since when all hits of a kind are there, of those of which some went."""
        return await self._queries.ask(
            lambda db: {kind: int(since_ms) for kind, since_ms in db.execute(HORIZONS)},
            seconds_max=COUNT_SECONDS_MAX,
        )

    async def run(self, seconds_max: float = float("inf")) -> tuple[Counter[str], bool]:
        """Remove what is too old; return how many hits, by kind, and whether some are left."""
        until = self._seconds() + seconds_max
        removed: Counter[str] = Counter()
        async with self._one_at_a_time:
            horizons = self.horizons()
            closed_ms = max(horizons.values(), default=0)
            for kind, horizon_ms in horizons.items():
                if await self._run_kind(kind, horizon_ms, closed_ms, removed, until):
                    return removed, True
            while await self._writer.transact(partial(tidy, closed_ms=closed_ms)):
                if self._seconds() > until:
                    return removed, True
        return removed, False

    async def _run_kind(
        self, kind: str, horizon_ms: int, closed_ms: int, removed: Counter[str], until: float
    ) -> bool:
        """Remove hits of one kind; tell whether time ran out before the last."""
        cursor: int | None = BEGINNING
        while cursor is not None:
            if self._seconds() > until:
                return True
            work = partial(
                expire,
                kind=kind,
                horizon_ms=horizon_ms,
                cursor=cursor,
                closed_ms=closed_ms,
                counts=self._counts,
            )
            done = await self._writer.transact(work)
            removed[kind] += done.removed
            metrics.EXPIRED.inc(done.removed)
            cursor = done.cursor
        return False
