"""Filters and moments as callers write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.asking.filters import NAMES, VALUES_MAX, Filter, read_filters
from aggregator.asking.times import read_moment, read_zone
from aggregator.rolling.fields import FIELDS
from milepost.errors import RejectedError

NOW = 1_769_860_800_000  # 2026-01-31T12:00:00Z
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("name", "given_values", "expected"),
    [
        ("country", ["DE", "FR", "DE"], [Filter("country", ("DE", "FR"))]),
        ("country", ["!DE"], [Filter("country", ("DE",), negated=True)]),
        (
            "country",
            ["DE", "!FR"],
            [Filter("country", ("DE",)), Filter("country", ("FR",), negated=True)],
        ),
        ("link", [""], [Filter("link", (None,))]),
        ("link", ["!"], [Filter("link", (None,), negated=True)]),
        ("link", ["\\!x"], [Filter("link", ("!x",))]),
        ("link", ["!\\!x"], [Filter("link", ("!x",), negated=True)]),
        ("link", ["\\\\x"], [Filter("link", ("\\x",))]),
        ("agent", ["\\"], [Filter("agent", ("",))]),
        ("link", ["a*"], [Filter("link", ("a*",))]),
        ("target", ["https://t/*"], [Filter("target", ("https://t/",), prefix=True)]),
        ("target", ["https://t/\\*"], [Filter("target", ("https://t/*",))]),
        ("url", ["https://h.example/a?b=1"], [Filter("url", ("h.example/a?b=1",))]),
        ("url", ["HTTP://h.example"], [Filter("url", ("h.example/",))]),
        ("url", ["!h.example/a*"], [Filter("url", ("h.example/a",), negated=True, prefix=True)]),
        ("url", ["h.ex*"], [Filter("url", ("h.ex",), prefix=True)]),
        (
            "status",
            ["302", "!404"],
            [Filter("status", (302,)), Filter("status", (404,), negated=True)],
        ),
        ("opt_out", ["true", "false"], [Filter("opt_out", (1, 0))]),
        ("visitor", ["0A" * 16], [Filter("visitor", (b"\x0a" * 16,))]),
        ("bots", ["include"], []),
        ("bots", ["exclude"], [Filter("bots", ("human",))]),
        ("bots", ["only"], [Filter("bots", ("human",), negated=True)]),
    ],
)
def test_a_filter_is_read_as_it_is_written(
    name: str, given_values: list[str], expected: list[Filter]
) -> None:
    """One of several, none of several, absent, present, beginnings, and the way out of each."""
    assert list(read_filters({name: given_values})) == expected


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"colour": ["red"]}, "'colour': unknown; accepted are kind, method"),
        ({"status": ["ok"]}, "status: want a whole number"),
        ({"asn": ["9" * 30]}, "asn: want a whole number"),
        ({"opt_out": ["maybe"]}, "opt_out: want true or false"),
        ({"visitor": ["xyz"]}, "visitor: want 32 hex digits"),
        ({"bots": ["some"]}, "bots: want one of include, exclude, only"),
        ({"bots": ["only", "exclude"]}, "bots: want one of"),
        ({"url": [""]}, "url: want host and path"),
        ({"url": ["/a"]}, "url: want host and path"),
        ({"url": ["https://*"]}, "url: want host and path"),
        ({"target": ["*"]}, "target: want a text before"),
        ({"host": ["a" * 3_000]}, "host: want a text of at most 2048"),
        ({"host": ["\ud800"]}, "host: want a text"),
        ({"host": ["a"] * (VALUES_MAX + 1)}, "filters: at most 100 values"),
        ({name: ["!\\x"] for name in FIELDS}, "status: want"),
    ],
)
def test_a_wrong_filter_is_named(told: dict[str, list[str]], named: str) -> None:
    """A refusal says which it was and what is accepted."""
    with pytest.raises(RejectedError) as caught:
        read_filters(told)

    assert str(caught.value).startswith(named)


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.text(max_size=20), max_size=5)))
def test_no_filter_crashes(told: dict[str, list[str]]) -> None:
    """Whatever is sent is read or refused, and a negated value never becomes a wanted one."""
    try:
        found = read_filters(told)
    except RejectedError:
        return

    assert all(
        any(text.startswith("!") for text in told[each.field])
        for each in found
        if each.negated and each.field != "bots"
    )


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("now", "UTC", NOW),
        ("-90s", "UTC", NOW - 90_000),
        ("-15m", "UTC", NOW - HOUR // 4),
        ("-24h", "UTC", NOW - 24 * HOUR),
        ("-30d", "Europe/Paris", NOW - 30 * 24 * HOUR),
        ("-1w", "UTC", NOW - 7 * 24 * HOUR),
        ("-999999999w", "UTC", 0),
        ("1769860800000", "UTC", NOW),
        ("2026-01-31T12:00:00Z", "Asia/Tokyo", NOW),
        ("2026-01-31T13:00:00.001+01:00", "UTC", NOW + 1),
        ("2026-01-31", "UTC", NOW - 12 * HOUR),
        ("2026-01-31", "Europe/Paris", NOW - 13 * HOUR),
        ("2026-07-01", "Europe/Paris", 1_782_856_800_000),
    ],
)
def test_a_moment_is_read(text: str, zone: str, expected: int) -> None:
    """From now, from 1970, with an offset, or as the start of a day somewhere."""
    assert read_moment("start", text, now_ms=NOW, zone=read_zone("tz", zone)) == expected


@pytest.mark.parametrize(
    "text", ["yesterday", "-5", "-5y", "+5m", "2026-01-31T12:00:00", "2026-02-30", "1" * 16, ""]
)
def test_a_wrong_moment_is_refused(text: str) -> None:
    """A moment without an offset could be anywhere."""
    with pytest.raises(RejectedError, match="start: want RFC 3339"):
        read_moment("start", text, now_ms=NOW, zone=read_zone("tz", "UTC"))


@pytest.mark.parametrize("text", ["", "Mars/Olympus", "../UTC", "America", "U" * 65, "CE\x00T"])
def test_a_wrong_zone_is_refused(text: str) -> None:
    """Neither what is not known, nor a path, nor a folder of zones."""
    with pytest.raises(RejectedError, match="tz: want the name of a time zone"):
        read_zone("tz", text)


@given(st.integers(0, 253_402_300_799_999_999))
def test_every_moment_with_an_offset_is_read(micros: int) -> None:
    """To the millisecond."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    read = read_moment("start", moment.isoformat(), now_ms=NOW, zone=read_zone("tz", "UTC"))

    assert read == micros // 1000
