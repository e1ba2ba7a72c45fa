"""What OP3's callers may ask, table by table."""

from datetime import UTC, datetime

import pytest

from aggregator.asking.filters import Filter
from aggregator.op3.asked import Asked, read_asked
from aggregator.op3.continents import COUNTRIES, continent_of
from aggregator.op3.moments import read_op3_moment
from milepost.errors import RejectedError

NOW = 1_763_640_000_000  # 2025-11-20T12:00:00Z
HASH = "ab" * 16


def at(*parts: int) -> int:
    """Return a moment in UTC."""
    year, month, day, hour, minute = (*parts, 0, 0)[:5]
    moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def asked(**told: str) -> Asked:
    """Return what a caller asks for that tells each parameter once."""
    return read_asked({name: [value] for name, value in told.items()}, NOW)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("-24h", -86_400_000),
        ("0h", 0),
        ("5m", 300_000),
        ("+5m", 300_000),
        ("1d", 86_400_000),
        ("-30s", -30_000),
    ],
)
def test_durations_count_from_now(text: str, ms: int) -> None:
    """Back with a minus, forth without."""
    assert read_op3_moment(text, NOW) == NOW + ms


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-12", at(2022, 12, 1)),
        ("2022-12-31", at(2022, 12, 31)),
        ("2022-09-10T20:09:00Z", at(2022, 9, 10, 20, 9)),
        ("2022-09-10T20:09:20.153Z", 1_662_840_560_153),
        ("2022-09-10T20:09:20.1Z", 1_662_840_560_100),
        ("2022-09-10T20:09:20.12Z", 1_662_840_560_120),
        ("2022-09-10T20:09:20.1239Z", 1_662_840_560_123),
        ("2022-09-10T20:09:20.000000Z", 1_662_840_560_000),
        ("2024-02-31", at(2024, 3, 2)),
        ("2999-12-31", at(2999, 12, 31)),
    ],
)
def test_instants(text: str, moment: int) -> None:
    """In UTC, cut to milliseconds; a day too many runs over into the next month."""
    assert read_op3_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("0", "1a", "*dh", "5w", "-1.5h", "24H", "01h", "--1h", "", " 5m", "9" * 40 + "d"),
        *("2022-09-10T20:09:00.Z", "2022-09-10T20:09Z", "2022-09-10T20:09:00", "now"),
        *("2022-09-10T20:09:00+01:00", "2022-09-10T24:00:00Z", "2022-09-10T20:60:00Z"),
        *(
            "2011-00",
            "2011-13",
            "2011-01-32",
            "2011-01-00",
            "3011-01-01",
            "1999-01",
            "\u0662022-01",
        ),
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """It is refused under the name of its parameter, as OP3 does."""
    for name in ("start", "startAfter", "end"):
        with pytest.raises(RejectedError, match=rf"^Bad {name}: "):
            asked(**{name: text})


@pytest.mark.parametrize(("text", "limit"), [("0", 0), ("100", 100), ("1000", 1000)])
def test_limits(text: str, limit: int) -> None:
    """From nothing to a thousand."""
    assert asked(limit=text).limit == limit


@pytest.mark.parametrize("text", ["-1", "1001", "1e3", "001", " 5", "+5", "1.0", "", "\u0665"])
def test_bad_limits(text: str) -> None:
    """In OP3's words."""
    with pytest.raises(RejectedError, match=r"^Bad limit: "):
        asked(limit=text)


@pytest.mark.parametrize(
    ("text", "descending"),
    [
        *[(each, True) for each in ("", "1", "true", "yes", "10", "info", "null")],
        *[(each, False) for each in ("0", "false", "False", "f", "no", "n", "off")],
    ],
)
def test_desc(text: str, *, descending: bool) -> None:
    """It is enough that it is there, unless it says no; 10 and info do not."""
    assert asked(desc=text).descending is descending
    assert asked().descending is False


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("url", "https://a.b/e/x.mp3?q=1", Filter("url", ("a.b/e/x.mp3?q=1",))),
        ("url", "http://A.b:81/x", Filter("url", ("A.b:81/x",))),
        ("url", "https://a.b", Filter("url", ("a.b/",))),
        ("url", "https://a.b/e/*", Filter("url", ("a.b/e/",), prefix=True)),
        ("url", "https://a.b/*", Filter("url", ("a.b/",), prefix=True)),
        ("url", "https://a.b/!x", Filter("url", ("a.b/!x",))),
        ("userAgent", "!a\\", Filter("agent", ("!a\\",))),
        ("referer", "https://c/*", Filter("referer", ("https://c/*",))),
        ("ulid", "01H", Filter("ulid", ("01H",))),
        ("xpsId", "S-1", Filter("session", ("S-1",))),
        ("method", "head", Filter("method", ("HEAD",))),
        ("edgeColo", "DFW", Filter("region", ("dfw",))),
        ("hashedIpAddress", HASH + "0000000f", Filter("visitor", (bytes.fromhex(HASH),))),
    ],
)
def test_filters_are_literal(name: str, text: str, expected: Filter) -> None:
    """Nothing but the asterisk behind a URL has a meaning, and orphans are never in."""
    found = asked(**{name: text})

    assert found.selection.filters == (Filter("kind", ("orphan",), negated=True), expected)
    assert found.epoch == (15 if name == "hashedIpAddress" else None)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"urlSha256": "0" * 64}, "urlSha256 is not supported"),
        ({"hashedIpAddress": "current"}, "salts"),
        ({"hashedIpAddress": HASH}, "Bad hashedIpAddress"),
        ({"hashedIpAddress": (HASH + "0000000f").upper()}, "Bad hashedIpAddress"),
        ({"hashedIpAddress": HASH + "0" * 9}, "Bad hashedIpAddress"),
        ({"start": "-1d", "startAfter": "-1d"}, "exclude each other"),
        ({"format": "csv"}, "Bad format: csv"),
        ({"include": "ipSource"}, "Bad include: ipSource"),
        ({"include": ""}, "Bad include"),
        ({"url": "a.b/e/x"}, "Bad url"),
        ({"url": "https://a.b*"}, "Bad url"),
        ({"url": "https://a.b?x"}, "Bad url"),
        ({"userAgent": ""}, "Bad userAgent"),
        ({"ulid": "\ud800"}, "Bad ulid"),
        ({"continuationToken": "x"}, "Unknown parameter: 'continuationToken'"),
        ({"useragent": "x"}, "Unknown parameter: 'useragent'"),
    ],
)
def test_refusals(told: dict[str, str], words: str) -> None:
    """Each says what is wrong; none is passed over."""
    with pytest.raises(RejectedError, match=words):
        asked(**told)


def test_nothing_is_taken_twice() -> None:
    """Of two values one would be ignored; the values are not repeated."""
    with pytest.raises(RejectedError, match="token: given twice") as caught:
        read_asked({"token": ["secret", "more"]}, NOW)
    assert "secret" not in str(caught.value)


def test_every_country_is_on_one_continent() -> None:
    """No code stands there twice, and an unknown one is on none."""
    codes = " ".join(COUNTRIES.values()).split()

    assert len(codes) == len(set(codes)) == 250
    assert {len(code) for code in codes} == {2}
    assert [continent_of(code) for code in ("DE", "US", "JP", "ZZ", None)] == [
        *("EU", "NA", "AS"),
        *(None, None),
    ]
