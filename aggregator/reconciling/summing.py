"""What one reconciliation says: sums for ever, the hours that were asked for, and the alarms.

Rules of this file:
- Pure.
- A range hides nothing: sums and alarms are over everything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from aggregator.reconciling.rules import Place, Reckoning, Reckonings, Span

COUNT_TOLD_MAX = (1 << 53) - 1  # what every reader of JSON can hold
ALARMS_TOLD_MAX = 100

T = TypeVar("T")

# What adds up by itself: of a region as a whole where the hour is None, and beside that
# of the hours in the range.
Even = tuple[str, int | None, Reckoning]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The hours that are wanted one by one: from the first up to, not including, the second."""

    start_ms: int
    end_ms: int
    region: str | None = None

    def holds(self, place: Place) -> bool:
        """Tell whether *place* is one of them."""
        region, hour_ms = place
        return self.wants(region) and self.start_ms <= hour_ms < self.end_ms

    def wants(self, region: str) -> bool:
        """Tell whether *region* is wanted at all."""
        return self.region is None or self.region == region


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of all visits."""

    total: Reckoning
    regions: dict[str, Reckoning]
    hours: list[tuple[Place, Reckoning]]  # of the range, the newest first
    alarms: list[tuple[Place, int]]  # where something is unaccounted, whenever it was
    spans: list[Span]


def summarize(
    even: Iterable[Even], odd: Reckonings, spans: Iterable[Span], wanted: Range
) -> Summary:
    """Sum what adds up by itself and what was reckoned one by one."""
    total = Reckoning()
    regions: dict[str, Reckoning] = {}
    hours: Reckonings = {}
    even = list(even)
    whole = [(region, one) for region, hour, one in even if hour is None]
    for region, one in (*whole, *((region, one) for (region, _), one in odd.items())):
        if wanted.wants(region):
            total.add(one)
            regions.setdefault(region, Reckoning()).add(one)
    single = [((region, hour), one) for region, hour, one in even if hour is not None]
    for place, one in (*single, *odd.items()):
        if wanted.holds(place):
            hours.setdefault(place, Reckoning()).add(one)
    alarms = {
        place: one.unaccounted
        for place, one in odd.items()
        if one.unaccounted and wanted.wants(place[0])
    }
    return Summary(
        total=total,
        regions=dict(sorted(regions.items())),
        hours=newest_first(hours),
        alarms=newest_first(alarms),
        spans=[span for span in spans if wanted.wants(span.region)],
    )


def newest_first(found: Mapping[Place, T]) -> list[tuple[Place, T]]:
    """Return *found* by hour, the newest first, and by region."""
    return sorted(found.items(), key=lambda each: (-each[0][1], each[0][0]))


def page(
    hours: list[tuple[Place, Reckoning]], limit: int
) -> tuple[list[tuple[Place, Reckoning]], int | None]:
    """Return the first *limit* of *hours*, and the end of the range that holds the rest.

    No hour is cut in two, and one is told at least.
    """
    if len(hours) <= limit:
        return hours, None
    last = hours[limit][0][1]
    whole = [each for each in hours if each[0][1] > last]
    if not whole:
        whole = [each for each in hours if each[0][1] == last]
    return whole, whole[-1][0][1] if len(whole) < len(hours) else None


def told(one: Reckoning) -> dict[str, Any]:
    """Return *one* as it travels."""
    return {name: min(count, COUNT_TOLD_MAX) for name, count in asdict(one).items()}
