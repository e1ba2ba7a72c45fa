"""What may be asked of `GET /v1/downloads`: parameters in, a question out.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
- Days are whole ones in UTC, for the rule counts a download once a day: the start is rounded
  down, the end up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from aggregator.asking.filters import BOTS, CHOICES, NAMES, read_filters
from aggregator.asking.times import LAST_MS, read_moment
from aggregator.searching.question import Selection, Told, choice, one, read_limit
from milepost.batch import HOUR_MS
from milepost.errors import RejectedError

DAY_MS = 24 * HOUR_MS
DAYS_DEFAULT, DAYS_MAX = 7, 366
LIMIT_DEFAULT, LIMIT_MAX = 1_000, 10_000
DAY, LINK, TARGET = "day", "link", "target"
EXCLUDE, ONLY = "exclude", "only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which hits, what they are counted by, and how many rows are told."""

    selection: Selection
    group_by: str
    bots: str
    limit: int


def read_question(told: Told, now_ms: int) -> Question:
    """Read the parameters *told*, or refuse naming the first that is wrong."""
    end_ms = _moment(told, "end", now_ms, now_ms)
    end_ms += -end_ms % DAY_MS
    start_ms = _moment(told, "start", end_ms - DAYS_DEFAULT * DAY_MS, now_ms)
    start_ms -= start_ms % DAY_MS
    if not 0 <= start_ms < end_ms <= min(start_ms + DAYS_MAX * DAY_MS, LAST_MS):
        msg = f"start, end: want 1 to {DAYS_MAX} days in UTC, from 1970 to 9892"
        raise RejectedError(msg)
    bots = choice(told, BOTS, (EXCLUDE, *(each for each in CHOICES if each != EXCLUDE)))
    return Question(
        selection=Selection(
            filters=read_filters(_filters(told, bots)), start_ms=start_ms, end_ms=end_ms
        ),
        group_by=choice(told, "group_by", (DAY, LINK, TARGET)),
        bots=bots,
        limit=read_limit(told, LIMIT_DEFAULT, LIMIT_MAX),
    )


def _filters(told: Told, bots: str) -> Mapping[str, list[str]]:
    """Return the filters; who is no person is left out by the rule itself."""
    found = {name: [*values] for name, values in told.items() if name in NAMES and name != BOTS}
    return {**found, BOTS: [ONLY]} if bots == ONLY else found


def _moment(told: Told, name: str, default: int, now_ms: int) -> int:
    if name not in told:
        return default
    return read_moment(name, one(told, name), now_ms=now_ms, zone=UTC)
