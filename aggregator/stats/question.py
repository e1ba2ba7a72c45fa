"""What may be asked of `GET /v1/stats`: parameters in, a question out.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from aggregator.asking.filters import BOTS, Filter, read_filters
from aggregator.asking.times import LAST_MS, NOW, read_moment, read_zone
from aggregator.rolling.fields import DIMENSIONS, TOTAL
from aggregator.searching.question import Told, choice, one, read_limit
from aggregator.stats.buckets import (
    DAY_MS,
    INTERVALS,
    bucket_starts,
    hour_after,
    hour_before,
)
from milepost.errors import RejectedError

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
GROUPED_MAX = 2  # dimensions
BUCKETS_MAX = 10_000
CELLS_MAX = 100_000  # buckets of all groups together
YEARS_MAX = 100  # each week of them is looked up, whether there is anything or not
DAYS, UTC = 30, "UTC"
OWN_NAMES = ("start", "end", "tz", "group_by", "interval", BOTS, "uniques", "limit")
GROUPS = tuple(name for name in DIMENSIONS if name != TOTAL)
EXCLUDE = "exclude"  # the default of `bots`


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which hits are counted, by what, and when."""

    start_ms: int
    end_ms: int  # the first moment that does not belong
    zone: ZoneInfo
    group_by: tuple[str, ...]
    interval: str | None
    starts: tuple[int, ...]  # of the buckets of the series; empty: none is asked for
    bots: str
    uniques: bool  # whether they are told: of hours they cost rows
    limit: int
    filters: tuple[Filter, ...]


def read_question(told: Told, now_ms: int) -> Question:
    """Read the parameters *told*, or refuse naming the first that is wrong."""
    zone = read_zone("tz", one(told, "tz", UTC))
    start_ms, end_ms = _range(told, zone, now_ms)
    interval = _interval(told, start_ms, end_ms)
    starts = tuple(bucket_starts(interval, zone, start_ms, end_ms)) if interval else ()
    group_by = _group_by(told)
    limit = read_limit(told, LIMIT_DEFAULT, LIMIT_MAX)
    if group_by and len(starts) * limit > CELLS_MAX:
        msg = (
            f"limit: want at most {max(CELLS_MAX // len(starts), 1)} groups with so many buckets, "
            "or a longer interval, or a shorter range"
        )
        raise RejectedError(msg)
    return Question(
        start_ms=start_ms,
        end_ms=end_ms,
        zone=zone,
        group_by=group_by,
        interval=interval,
        starts=starts,
        bots=choice(told, BOTS, (EXCLUDE, "include", "only")),
        uniques=choice(told, "uniques", ("true", "false")) == "true",
        limit=limit,
        filters=read_filters({name: told[name] for name in told if name not in OWN_NAMES}),
    )


def _range(told: Told, zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    """Return whole local hours: the start is rounded down, and the end up."""
    end_ms = read_moment("end", one(told, "end", NOW), now_ms=now_ms, zone=zone)
    if "start" in told:
        start_ms = read_moment("start", one(told, "start"), now_ms=now_ms, zone=zone)
    else:
        start_ms = max(end_ms - DAYS * DAY_MS, 0)
    for name, moment in (("end", end_ms), ("start", start_ms)):
        if not 0 <= moment <= LAST_MS:
            msg = f"{name}: want a moment from 1970 to 9892"
            raise RejectedError(msg)
    if start_ms >= end_ms:
        msg = "start: want a moment before the end"
        raise RejectedError(msg)
    if end_ms - start_ms > YEARS_MAX * 366 * DAY_MS:
        msg = f"start: want at most {YEARS_MAX} years before the end"
        raise RejectedError(msg)
    return hour_before(start_ms, zone), hour_after(end_ms, zone)


def _interval(told: Told, start_ms: int, end_ms: int) -> str | None:
    if "interval" not in told:
        return None
    interval = choice(told, "interval", (*INTERVALS,))
    if (end_ms - start_ms) // INTERVALS[interval] > BUCKETS_MAX:
        msg = f"interval: at most {BUCKETS_MAX} buckets; want a longer one, or a shorter range"
        raise RejectedError(msg)
    return interval


def _group_by(told: Told) -> tuple[str, ...]:
    if "group_by" not in told:
        return ()
    names = tuple(one(told, "group_by").split(","))
    if len(names) > GROUPED_MAX or len(set(names)) < len(names) or set(names) - {*GROUPS}:
        msg = f"group_by: want one or two, with a comma between, of {', '.join(GROUPS)}"
        raise RejectedError(msg)
    return names
