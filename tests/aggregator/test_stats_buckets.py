"""Buckets of a series are the hours, days, weeks and months of a time zone."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.rolling.tiers import HOUR_MS
from aggregator.stats.answer import local
from aggregator.stats.buckets import INTERVALS, bucket_starts, hour_after, hour_before

DAY_MS = 24 * HOUR_MS
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"),
    *("America/St_Johns", "Pacific/Apia", "America/Havana", "Asia/Beirut", "Asia/Kathmandu"),
)


def ms(text: str, zone: ZoneInfo) -> int:
    """Return a local time in milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def hours_of_day(zone_name: str, day: str, following: str) -> int:
    """Return how many hours a day has."""
    zone = ZoneInfo(zone_name)
    return (ms(following, zone) - ms(day, zone)) // HOUR_MS


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    interval=st.sampled_from(sorted(INTERVALS)),
    start=st.integers(1_200_000_000_000 // HOUR_MS, 1_900_000_000_000 // HOUR_MS),
    hours=st.integers(1, 2_000),
)
def test_buckets_begin_where_clocks_say_so(
    zone: ZoneInfo, interval: str, start: int, hours: int
) -> None:
    """At a full hour, at midnight, on a Monday, or on the first; each once, and in order."""
    start_ms = hour_before(start * HOUR_MS, zone)
    end_ms = hour_after(start_ms + hours * HOUR_MS, zone)

    starts = bucket_starts(interval, zone, start_ms, end_ms)

    assert starts[0] == start_ms
    assert all(one < following for one, following in pairwise(starts))
    assert starts[-1] < end_ms
    for each in starts[1:]:
        at = datetime.fromisoformat(local(each, zone))
        before = datetime.fromisoformat(local(each - 1, zone))
        assert before.replace(tzinfo=None).date() != at.date() or interval == "hour"
        assert (at.minute, at.second) == (0, 0) or at.utcoffset() != before.utcoffset()
        if interval == "week":
            assert at.weekday() == 0 or at.day - before.day != 1
        if interval == "month":
            assert at.month != before.month


@pytest.mark.parametrize(
    ("zone_name", "day", "following", "hours"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-03-31", 23),
        ("Europe/Berlin", "2025-10-26", "2025-10-27", 25),
        ("UTC", "2025-10-26", "2025-10-27", 24),
    ],
)
def test_a_day_is_as_long_as_clocks_make_it(
    zone_name: str, day: str, following: str, hours: int
) -> None:
    """And the hours of it follow one another, also the one that comes twice."""
    zone = ZoneInfo(zone_name)
    start_ms, end_ms = ms(day, zone), ms(following, zone)

    assert bucket_starts("day", zone, start_ms, end_ms + DAY_MS) == [start_ms, end_ms]
    assert len(bucket_starts("hour", zone, start_ms, end_ms)) == hours


def test_an_hour_can_have_90_minutes() -> None:
    """On Lord Howe Island clocks are set by half an hour."""
    zone = ZoneInfo("Australia/Lord_Howe")
    start_ms, end_ms = ms("2025-04-06", zone), ms("2025-04-07", zone)

    starts = [*bucket_starts("hour", zone, start_ms, end_ms), end_ms]

    assert {(b - a) // 60_000 for a, b in pairwise(starts)} == {60, 90}


def test_a_day_that_was_left_out_has_no_bucket() -> None:
    """Samoa went from the 29th of December 2011 to the 31st."""
    zone = ZoneInfo("Pacific/Apia")
    start_ms = ms("2011-12-29", zone)

    starts = bucket_starts("day", zone, start_ms, start_ms + 3 * DAY_MS)

    assert [local(each, zone)[:10] for each in starts] == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_ranges_are_whole_hours_of_the_zone() -> None:
    """The start is rounded down, and the end up."""
    zone = ZoneInfo("Asia/Kolkata")
    moment = ms("2025-11-20T10:20:00", zone)

    assert local(hour_before(moment, zone), zone) == "2025-11-20T10:00:00.000+05:30"
    assert local(hour_after(moment, zone), zone) == "2025-11-20T11:00:00.000+05:30"
    assert hour_after(hour_before(moment, zone), zone) == hour_before(moment, zone)
