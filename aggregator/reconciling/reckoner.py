"""The reckoner: reconciles when it is asked, and each minute for whoever watches.

One reckoning at a time, whoever asks: it reads everything that was ever counted.
"""

import asyncio
import time

from aggregator import metrics
from aggregator.reconciling.rules import Books, Reckoning, outran_its_meter, reckon, span_of
from aggregator.reconciling.store import find_all, find_suspects
from aggregator.reconciling.summing import Range, Summary, summarize
from milepost.database import Readers
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

EVERY_SECONDS = 60.0
# A reckoning that has become slow runs less often: it may take a fiftieth of the time.
PAUSE_PER_SECOND = 50
NOTHING = Range(start_ms=0, end_ms=0)


class Reckoner:
    """Holds what was served against what became of it."""

    def __init__(self, readers: Readers, *, sweeps: bool = False) -> None:
        """Read with *readers*; with *sweeps*, lost streams may come back out of their replicas."""
        self._readers = readers
        self._sweeps = sweeps
        self._one_at_a_time = asyncio.Lock()
        self._alarmed = 0

    async def reckon(self, wanted: Range) -> Summary:
        """Return what became of every visit, and the hours of *wanted* one by one."""
        async with self._one_at_a_time:
            found = await find_all(self._readers, wanted)
            books = Books(
                rows=found.odd,
                lives=found.lives,
                streams=found.streams,
                sealed=found.sealed,
                damaged=found.damaged,
                sweeps=self._sweeps,
            )
            odd = await asyncio.to_thread(reckon, books)
            outran = {row.life for row in found.odd if outran_its_meter(row, found.lives[row.life])}
            spans = [span_of(each) for each in await find_suspects(self._readers, outran)]
            return summarize(found.even, odd, spans, wanted)

    async def step(self) -> float:
        """Reckon for those who watch; return how many seconds to wait."""
        begun = time.monotonic()
        try:
            summary = await self.reckon(NOTHING)
        except ServiceError as error:
            log.warning("reckoning.failed", code=error.code, reason=str(error))
            return EVERY_SECONDS
        for region, one in summary.regions.items():
            _measure(region, one)
        metrics.SPANS.set(len(summary.spans))
        self._tell(summary)
        return max(EVERY_SECONDS, PAUSE_PER_SECOND * (time.monotonic() - begun))

    def notes(self) -> dict[str, str]:
        """Return what a person should look into."""
        if not self._alarmed:
            return {}
        said = f"{self._alarmed} clicks are unaccounted for: `milepost reconcile` names the hours"
        return {"unaccounted": said}

    def _tell(self, summary: Summary) -> None:
        """Log an alarm when it begins, grows or ends, and not each minute."""
        count, before = summary.total.unaccounted, self._alarmed
        self._alarmed = count
        if count > before:
            (region, hour_ms), worst = max(summary.alarms, key=lambda each: each[1])
            log.error(
                "clicks.unaccounted",
                clicks=count,
                hours=len(summary.alarms),
                worst_region=region,
                worst_hour_ms=hour_ms,
                worst_clicks=worst,
            )
        elif before and not count:
            log.info("clicks.accounted", clicks=before)


def _measure(region: str, one: Reckoning) -> None:
    metrics.UNACCOUNTED.labels(region).set(one.unaccounted)
    metrics.LOST.labels(region).set(one.lost)
    metrics.BEHIND.labels(region).set(one.behind)
    metrics.SERVED.labels(region).set(one.served)
    metrics.RECORDED.labels(region).set(one.recorded)
    metrics.SHED.labels(region).set(one.shed)
