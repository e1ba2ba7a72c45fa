"""Which hits are downloads: the rule on paper, and beside a slow and plain reading of it."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.classifying.digests import FEW, DigestSet
from aggregator.classifying.downloads import (
    REDIRECTS,
    Asked,
    Counter,
    Download,
    Row,
    asked_for,
    destination,
    key_of,
)
from milepost.batch import HOUR_MS
from milepost.vocabulary import Millis, VisitorHash

DAY_MS = 24 * HOUR_MS
ANN, BOB = VisitorHash(b"a" * 16), VisitorHash(b"b" * 16)
URL = "https://media.example.com/1.mp3"
LOOK, WHOLE = "bytes=0-1", "bytes=0-"
PLAIN = Row(0, Millis(0), "GET", 302, URL, None, ANN, "Castro 2/1", None, person=True)


def at(minutes: float, **fields: Any) -> Row:
    """Return a row of a person's whole request at that minute, but for *fields*."""
    return PLAIN._replace(time=Millis(int(minutes * 60_000)), **fields)


def counted(rows: Iterable[Row], *, bots: bool = False) -> list[tuple[int, bool]]:
    """Return what counts of *rows*, which get their places as ids: id, and whether it is a look."""
    counter = Counter(bots=bots)
    numbered = [row._replace(id=number) for number, row in enumerate(rows)]
    found = [*counter.count(numbered), *counter.rest()]
    assert all(each.time == numbered[each.id].time for each in found)
    return sorted((each.id, each.first_two) for each in found)


@pytest.mark.parametrize(
    ("rows", "downloads"),
    [
        ([], []),
        ([at(0)], [(0, False)]),
        ([at(0), at(1)], [(0, False)]),
        ([at(0), at(23 * 60)], [(0, False)]),
        ([at(24 * 60 - 1), at(24 * 60)], [(0, False), (1, False)]),
        ([at(0), at(1, visitor=BOB)], [(0, False), (1, False)]),
        ([at(0), at(1, agent="other")], [(0, False), (1, False)]),
        ([at(0), at(1, referer="https://a.example/")], [(0, False), (1, False)]),
        ([at(0), at(1, target=URL + "?b")], [(0, False), (1, False)]),
        ([at(0), at(1, target=URL + "?_ulid=x")], [(0, False)]),
        ([at(0, referer=""), at(1)], [(0, False)]),
        ([at(0, method="HEAD"), at(1, method="POST")], []),
        ([at(0, status=404), at(1, status=200)], []),
        ([at(0, person=False)], []),
        ([at(0, range="bytes=0-0"), at(1, range="bytes=-2")], []),
        ([at(0, range="bytes=5-6"), at(1, range="bytes=0-0,9-9")], []),
        ([at(0, range="bytes=0-1,5-9")], [(0, False)]),
        ([at(0, range="nonsense")], [(0, False)]),
        ([at(0, range=LOOK)], [(0, True)]),
        ([at(0, range=LOOK), at(1, range=LOOK)], [(0, True)]),
        ([at(0, range=LOOK), at(1, range=WHOLE)], [(1, False)]),
        ([at(0, range=LOOK), at(1, range=WHOLE), at(2)], [(1, False)]),
        ([at(0), at(1, range=LOOK)], [(0, False)]),
        ([at(59, range=LOOK), at(60, range=WHOLE)], [(0, True)]),
        ([at(0, range=LOOK), at(1, range="bytes=0-0")], [(0, True)]),
        ([at(0, range=LOOK), at(1, person=False)], [(0, True)]),
        ([at(0, visitor=None), at(1, visitor=None)], [(0, False)]),
    ],
)
def test_what_counts(rows: Sequence[Row], downloads: list[tuple[int, bool]]) -> None:
    """Each line is a day, or two, in the life of a file."""
    assert counted(rows) == downloads


def test_bots_count_where_they_are_asked_for() -> None:
    """They are told apart by their class, not by the rule."""
    assert counted([at(0, person=False), at(1)], bots=True) == [(0, False)]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("bytes=0-1", Asked.FIRST_LOOK),
        ("bytes=00-01", Asked.FIRST_LOOK),
        ("bytes=0-1, 0-1", Asked.NOTHING),
        ("bytes=1-2", Asked.NOTHING),
        ("bytes=10-11", Asked.NOTHING),
        ("bytes=-1", Asked.NOTHING),
        ("bytes=-2", Asked.NOTHING),
        ("bytes=-3", Asked.WHOLE),
        ("bytes=0-2", Asked.WHOLE),
        ("bytes=7-", Asked.WHOLE),
        ("bytes=0-0 , 3-5", Asked.WHOLE),
        ("bytes=2-1", Asked.WHOLE),
        ("bytes=-0", Asked.WHOLE),
        ("bytes=0-0,2-1", Asked.WHOLE),
        ("Bytes=0-0", Asked.WHOLE),
        ("bytes=0-1\n", Asked.WHOLE),
        (" bytes=0-1", Asked.WHOLE),
        ("bytes=\u0660-\u0661", Asked.WHOLE),
        ("bytes=0-" + "9" * 5_000, Asked.WHOLE),
        ("bytes=" + ",".join(["0-0"] * 500), Asked.NOTHING),
        ("bytes=-", Asked.WHOLE),
        ("items=0-1", Asked.WHOLE),
        ("", Asked.WHOLE),
    ],
)
def test_ranges(text: str, asked: Asked) -> None:
    """Two bytes are no download; what cannot be read is no range."""
    assert asked_for(text) is asked


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (URL, URL),
        (URL + "?_ulid=asdf", URL),
        (URL + "?_ulid=", URL),
        (URL + "?ulid=x", URL + "?ulid=x"),
        (URL + "?a&_ulid=", URL + "?a"),
        (URL + "?_from=a.b.c&a=b&_ulid=x", URL + "?a=b"),
        (URL + "?DIST=TuneIn&TGT=TuneIn&maxServers=2&a=b", URL + "?a=b"),
        (URL + "?DIST=TuneIn&TGT=TuneIn", URL + "?DIST=TuneIn&TGT=TuneIn"),
        (URL + "/;?DIST=TuneIn&TGT=TuneIn&maxServers=2", URL),
        (URL + "%3F_from=com.player", URL),
        (URL + "?", URL),
        (URL + "?=", URL),
        (URL + "?query=", URL),
        (URL + "?download=false&utm_source=x&a=", URL + "?download=false&utm_source=x&a="),
        ("https://a.example:443/x", "https://a.example/x"),
        ("http://a.example:80/x", "http://a.example/x"),
        ("http://a.example:443/x", "http://a.example:443/x"),
        ("http://a.example:8080/x", "http://a.example:8080/x"),
        ("", ""),
        ("?x", "?x"),
    ],
)
def test_destinations(target: str, found: str) -> None:
    """What players add for themselves makes no other file."""
    assert destination(target) == found


def test_no_two_audiences_are_one_by_moving_a_border() -> None:
    """Agent and referer are other people's text, and may hold whatever would part them."""
    rows = [
        at(0, agent="a b", referer="c"),
        at(0, agent="a", referer="b c"),
        at(0, agent="ab", referer="c"),
        at(0, agent="a", referer="bc"),
        at(0, agent="\ud800", referer=None),
    ]

    assert len({key_of(row) for row in rows}) == len(rows)


def test_rows_have_to_be_in_order() -> None:
    """A row of an hour that is over would be judged by another rule: it is an error."""
    with pytest.raises(ValueError, match="out of order"):
        counted([at(60), at(59)])


def test_rows_may_come_in_parts() -> None:
    """The looks of an hour stay open over them."""
    counter = Counter()
    assert list(counter.count([at(0, range=LOOK)])) == []
    assert list(counter.count([at(1, id=7)])) == [Download(7, Millis(60_000), first_two=False)]
    assert list(counter.rest()) == []


MINUTES = st.integers(0, 3 * 24 * 60).map(lambda minutes: Millis(minutes * 60_000))
ROWS = st.lists(
    st.builds(
        Row,
        st.just(0),
        st.sampled_from([0, 1, 2, 59, 60, 61, 1_439, 1_440, 1_441]).map(
            lambda minutes: Millis(minutes * 60_000)
        )
        | MINUTES,
        st.sampled_from(["GET", "GET", "GET", "HEAD"]),
        st.sampled_from([302, 302, 302, 404]),
        st.sampled_from([URL, URL + "?_ulid=1", URL + "?x"]),
        st.sampled_from([None, WHOLE, LOOK, LOOK, "bytes=0-0", "x"]),
        st.sampled_from([ANN, BOB, None]),
        st.sampled_from(["one", "two"]),
        st.none(),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row.time))


def naive(rows: Sequence[Row]) -> list[tuple[int, bool]]:
    """Count as the rule reads: hour by hour first, and then the hours of each day."""
    found = []
    numbered = [row._replace(id=number) for number, row in enumerate(rows)]
    for _, of_day in groupby(numbered, key=lambda row: row.time // DAY_MS):
        day: dict[object, Row] = {}
        for _, of_hour in groupby(of_day, key=lambda row: row.time // HOUR_MS):
            for key, row in hourly(of_hour).items():
                day.setdefault(key, row)
        found += [(row.id, row.range == LOOK) for row in day.values()]
    return sorted(found)


def hourly(rows: Iterable[Row]) -> dict[object, Row]:
    """Return the downloads of one hour, by what makes them one."""
    found: dict[object, Row] = {}
    for row in rows:
        good = row.method == "GET" and row.status in REDIRECTS and row.person
        if good and row.range != "bytes=0-0":
            key = (destination(row.target), row.visitor, row.agent, row.referer)
            if key not in found or (found[key].range == LOOK and row.range != LOOK):
                found[key] = row
    return found


@given(ROWS)
def test_the_quick_way_counts_what_the_plain_one_does(rows: list[Row]) -> None:
    """Whatever comes in whichever order."""
    assert counted(rows) == naive(rows)


@given(st.lists(st.integers(1, 40).map(lambda number: number.to_bytes(16, "big"))))
def test_a_set_of_digests_is_a_set(digests: list[bytes]) -> None:
    """New is what was not there."""
    mine, other = DigestSet(), set[bytes]()

    for digest in digests:
        assert mine.add(digest) is (digest not in other)
        other.add(digest)
    assert len(mine) == len(other)


def test_a_set_of_digests_grows() -> None:
    """And forgets nothing by it."""
    mine = DigestSet()
    digests = [(number * 2**64 + number % 3).to_bytes(16, "big") for number in range(1, 5 * FEW)]

    assert all(map(mine.add, digests))
    assert not any(map(mine.add, digests))
    assert len(mine) == len(digests)
