"""Buckets of a time series: hours, days, weeks and months as a time zone has them.

Rules of this file:
- Pure.
- Buckets follow one another without a gap.  A day has 23 or 25 hours when clocks are set,
  and the first and the last bucket are only as long as the range goes.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from aggregator.rolling.tiers import HOUR_MS

DAY_MS = 24 * HOUR_MS
QUARTER_MS = HOUR_MS // 4  # no zone of our days has an offset that is no multiple of it
# How long each of them is, about.
INTERVALS = {"hour": HOUR_MS, "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS}
_MS = timedelta(milliseconds=1)
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


def hour_before(moment_ms: int, zone: ZoneInfo) -> int:
    """Return when the local hour began that a moment is in."""
    return moment_ms - (moment_ms + offset_ms(moment_ms, zone)) % HOUR_MS


def hour_after(moment_ms: int, zone: ZoneInfo) -> int:
    """Return the moment itself if a local hour begins then, else when the next one does."""
    return moment_ms + -(moment_ms + offset_ms(moment_ms, zone)) % HOUR_MS


def offset_ms(moment_ms: int, zone: ZoneInfo) -> int:
    """Return how far clocks in *zone* are ahead of UTC."""
    offset = _local(moment_ms, zone).utcoffset() or timedelta()
    return offset // _MS


def bucket_starts(interval: str, zone: ZoneInfo, start_ms: int, end_ms: int) -> list[int]:
    """Return when each bucket of a range begins; the first begins with the range."""
    found = [start_ms]
    for moment in _moments(interval, zone, start_ms):
        if moment >= end_ms:
            return found
        if moment > found[-1]:  # a day that a zone left out begins with the next one
            found.append(moment)
    return found


def _moments(interval: str, zone: ZoneInfo, start_ms: int) -> Iterator[int]:
    if interval == "hour":
        yield from _hours(zone, start_ms)
        return
    day = _local(start_ms, zone).date()
    if interval == "week":
        day -= timedelta(days=day.weekday())
    elif interval == "month":
        day = day.replace(day=1)
    while True:
        day = _following(interval, day)
        yield _midnight(day, zone)


def _hours(zone: ZoneInfo, moment_ms: int) -> Iterator[int]:
    while True:
        following = moment_ms + HOUR_MS - (moment_ms + offset_ms(moment_ms, zone)) % HOUR_MS
        if (following + offset_ms(following, zone)) % HOUR_MS:  # clocks were set by half an hour
            steps = (moment_ms + n * QUARTER_MS for n in range(1, 8))
            following = next((each for each in steps if _begins(each, zone)), following)
        moment_ms = following
        yield moment_ms


def _begins(moment_ms: int, zone: ZoneInfo) -> bool:
    return (moment_ms + offset_ms(moment_ms, zone)) % HOUR_MS == 0


def _following(interval: str, day: date) -> date:
    if interval == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if interval == "week" else 1)


def _midnight(day: date, zone: ZoneInfo) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=zone) - _1970) // _MS


def _local(moment_ms: int, zone: ZoneInfo) -> datetime:
    return (_1970 + moment_ms * _MS).astimezone(zone)
