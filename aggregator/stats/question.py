"""What may be asked of `GET /v1/stats`: parameters in, a question out.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from aggregator.asking.filters import BOTS, CHOICES, NAMES, Filter, read_filters
from aggregator.asking.times import NOW, read_moment, read_zone
from aggregator.rolling.fields import DIMENSIONS, TOTAL
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
LAST_MS = 250_000_000_000_000  # in the year 9892: later ones have no local time
START = "-30d"
OWN_NAMES = ("start", "end", "tz", "group_by", "interval", BOTS, "limit")
GROUPS = tuple(name for name in DIMENSIONS if name != TOTAL)
EXCLUDE = "exclude"  # the default of `bots`


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which hits are counted, by what, and when."""

    start_ms: int
    end_ms: int  # the first moment that does not belong
    tz: str
    group_by: tuple[str, ...]
    interval: str | None
    starts: tuple[int, ...]  # of the buckets of the series; empty: none is asked for
    bots: str
    limit: int
    filters: tuple[Filter, ...]


def read_question(given: Sequence[tuple[str, str]], now_ms: int) -> Question:
    """Read the parameters *given*, or refuse naming the first that is wrong."""
    own, rest = _sorted_out(given)
    zone = read_zone("tz", own.get("tz", "UTC"))
    start_ms, end_ms = _range(own, zone, now_ms)
    interval = _interval(own, start_ms, end_ms)
    starts = tuple(bucket_starts(interval, zone, start_ms, end_ms)) if interval else ()
    group_by = _group_by(own)
    limit = _limit(own)
    if group_by and len(starts) * limit > CELLS_MAX:
        msg = (
            f"limit: want at most {max(CELLS_MAX // len(starts), 1)} groups with so many buckets, "
            "or a longer interval, or a shorter range"
        )
        raise RejectedError(msg)
    return Question(
        start_ms=start_ms,
        end_ms=end_ms,
        tz=own.get("tz", "UTC"),
        group_by=group_by,
        interval=interval,
        starts=starts,
        bots=_bots(own),
        limit=limit,
        filters=read_filters(rest),
    )


def _sorted_out(
    given: Sequence[tuple[str, str]],
) -> tuple[dict[str, str], Mapping[str, Sequence[str]]]:
    own: dict[str, str] = {}
    rest: dict[str, list[str]] = {}
    for name, value in given:
        if name not in OWN_NAMES:
            if name not in NAMES:
                msg = f"{name[:64]!r}: unknown; accepted are {', '.join((*OWN_NAMES, *NAMES))}"
                raise RejectedError(msg)
            rest.setdefault(name, []).append(value)
        elif name in own:
            msg = f"{name}: given twice; accepted is one value"
            raise RejectedError(msg)
        else:
            own[name] = value
    return own, rest


def _range(own: Mapping[str, str], zone: ZoneInfo, now_ms: int) -> tuple[int, int]:
    """Return whole local hours: the start is rounded down, and the end up."""
    end_ms = read_moment("end", own.get("end", NOW), now_ms=now_ms, zone=zone)
    start_ms = read_moment("start", own.get("start", START), now_ms=now_ms, zone=zone)
    if "start" not in own:
        start_ms = max(min(start_ms, end_ms - 30 * DAY_MS), 0)
    for name, moment in (("start", start_ms), ("end", end_ms)):
        if not 0 <= moment <= LAST_MS:
            msg = f"{name}: want a moment from 1970 to 9892"
            raise RejectedError(msg)
    if start_ms >= end_ms:
        msg = "start: want a moment before the end"
        raise RejectedError(msg)
    return hour_before(start_ms, zone), hour_after(end_ms, zone)


def _interval(own: Mapping[str, str], start_ms: int, end_ms: int) -> str | None:
    interval = own.get("interval")
    if interval is None:
        return None
    if interval not in INTERVALS:
        msg = f"interval: want one of {', '.join(INTERVALS)}"
        raise RejectedError(msg)
    if (end_ms - start_ms) // INTERVALS[interval] > BUCKETS_MAX:
        msg = f"interval: at most {BUCKETS_MAX} buckets; want a longer one, or a shorter range"
        raise RejectedError(msg)
    return interval


def _group_by(own: Mapping[str, str]) -> tuple[str, ...]:
    if "group_by" not in own:
        return ()
    names = tuple(own["group_by"].split(","))
    if len(names) > GROUPED_MAX or len(set(names)) < len(names) or set(names) - {*GROUPS}:
        msg = f"group_by: want one or two, with a comma between, of {', '.join(GROUPS)}"
        raise RejectedError(msg)
    return names


def _bots(own: Mapping[str, str]) -> str:
    chosen = own.get(BOTS, EXCLUDE)
    if chosen not in CHOICES:
        msg = f"{BOTS}: want one of {', '.join(CHOICES)}"
        raise RejectedError(msg)
    return chosen


def _limit(own: Mapping[str, str]) -> int:
    text = own.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= LIMIT_MAX:
        msg = f"limit: want a whole number, 1 to {LIMIT_MAX}"
        raise RejectedError(msg)
    return int(text)
