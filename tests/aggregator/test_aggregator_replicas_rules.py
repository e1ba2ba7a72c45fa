"""Which replicas are read, and which may go: the decisions, case by case."""

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.replicas.access import Access
from aggregator.replicas.names import Name
from aggregator.replicas.rules import (
    CLOCKS_MS,
    MARGIN_MS,
    RESTORABLE_MS,
    SILENT_MS,
    Source,
    Stored,
    Verdict,
    is_due,
    judge,
    may_go,
)
from milepost.litestream import SNAPSHOT_INTERVAL_HOURS, SNAPSHOT_RETENTION_HOURS, configuration
from milepost.litestream import replica_url as url_of
from milepost.vocabulary import Millis, Seq, StreamId

SEEN = Millis(1_000_000)
NAME = Name("dfw", "m1", StreamId(bytes(range(16))))
URL = "http://m1"
ANSWERING = Source(
    url=URL, region="dfw", machine="m1", asked_ms=Millis(SEEN + 1), silent_ms=0, expected=True
)
EARLIER = replace(ANSWERING, asked_ms=Millis(SEEN - 1))
SILENT = replace(ANSWERING, silent_ms=SILENT_MS)
GONE = replace(ANSWERING, silent_ms=SILENT_MS, expected=False)
OTHER = replace(ANSWERING, url="http://m2", machine="m2")
NAMELESS = replace(OTHER, region=None, machine=None, asked_ms=None)
UNREADABLE = replace(ANSWERING, unreadable=frozenset({f"{NAME.stream.hex()}.db"}))
RENAMED = replace(ANSWERING, machine="m9")  # another machine behind the same address

PULLED = Stored(source=URL, present=True, open=True, seq=Seq(5), last_seq=Seq(5))
REFUSED = replace(PULLED, fault="forked")
ABSENT = replace(PULLED, present=False)
SHORT = replace(ABSENT, open=False, seq=Seq(4))
DONE = replace(ABSENT, open=False)
STILL_THERE = replace(DONE, present=True)
FORKED = replace(DONE, fault="forked")
ROLLED_BACK = replace(DONE, rolled_back=True)
ABANDONED = replace(SHORT, abandoned_ms=SEEN)
COPIED = replace(DONE, source="replica:dfw/m1", announced=False)
SWEPT = replace(SHORT, swept_ms=SEEN)


@pytest.mark.parametrize(
    ("stored", "sources", "verdict"),
    [
        # An answering machine is believed.
        (None, [ANSWERING], Verdict.SWEEP),
        (PULLED, [ANSWERING], Verdict.LEAVE),
        (STILL_THERE, [ANSWERING], Verdict.LEAVE),
        (REFUSED, [ANSWERING], Verdict.READ),
        (ABSENT, [ANSWERING], Verdict.SWEEP),
        (SHORT, [ANSWERING], Verdict.SWEEP),
        (DONE, [ANSWERING], Verdict.SWEEP),
        (FORKED, [ANSWERING], Verdict.SWEEP),
        (ROLLED_BACK, [ANSWERING], Verdict.SWEEP),
        (replace(ROLLED_BACK, present=True), [ANSWERING], Verdict.READ),
        (ROLLED_BACK, [SILENT], Verdict.READ),
        (ABANDONED, [ANSWERING], Verdict.SWEEP),
        (ABSENT, [RENAMED], Verdict.SWEEP),
        (DONE, [RENAMED], Verdict.SWEEP),
        (COPIED, [ANSWERING], Verdict.SWEEP),
        (COPIED, [SILENT], Verdict.READ),
        (COPIED, [], Verdict.SWEEP),
        # What it calls unreadable it still has.
        (None, [UNREADABLE], Verdict.READ),
        (ABSENT, [UNREADABLE], Verdict.READ),
        # It has not been asked since the replica was first seen.
        (None, [EARLIER], Verdict.WAIT),
        (PULLED, [EARLIER], Verdict.WAIT),
        (STILL_THERE, [EARLIER], Verdict.LEAVE),
        # Silent for long: read, and nothing is settled.
        (None, [SILENT], Verdict.READ),
        (PULLED, [SILENT], Verdict.READ),
        (DONE, [SILENT], Verdict.LEAVE),
        # Gone.
        (None, [GONE], Verdict.SWEEP),
        (PULLED, [GONE], Verdict.SWEEP),
        (STILL_THERE, [GONE], Verdict.SWEEP),
        (None, [GONE, NAMELESS], Verdict.SWEEP),
        # A machine of which nobody has heard.
        (None, [], Verdict.SWEEP),
        (None, [OTHER], Verdict.SWEEP),
        (None, [OTHER, NAMELESS], Verdict.WAIT),
        (None, [replace(NAMELESS, silent_ms=SILENT_MS)], Verdict.READ),
        # Swept is swept, until somebody announces it again.
        (SWEPT, [ANSWERING], Verdict.RETIRED),
        (SWEPT, [], Verdict.RETIRED),
    ],
)
def test_what_is_done_about_a_replica(
    stored: Stored | None, sources: list[Source], verdict: Verdict
) -> None:
    """Whoever answers is believed; who is silent may come back; who has gone does not."""
    assert judge(NAME, SEEN, stored, sources) is verdict


@pytest.mark.parametrize(
    ("stored", "verdict"),
    [
        (DONE, Verdict.RETIRED),
        (ABANDONED, Verdict.RETIRED),
        (None, Verdict.SWEEP),
        (SHORT, Verdict.SWEEP),
        (FORKED, Verdict.SWEEP),
        (ROLLED_BACK, Verdict.SWEEP),
        (COPIED, Verdict.SWEEP),
        (STILL_THERE, Verdict.LEAVE),
    ],
)
def test_what_cannot_be_read_may_go_if_nothing_of_it_is_missing(
    stored: Stored | None, verdict: Verdict
) -> None:
    """As far as anybody knows, or because it was written off."""
    assert judge(NAME, SEEN, stored, [ANSWERING], given_up=True) is verdict
    if verdict is not Verdict.LEAVE:
        assert judge(NAME, SEEN, stored, [], given_up=True) is verdict


def test_a_machine_that_is_both_here_and_elsewhere_is_believed_here() -> None:
    """An older address of a machine that answers under a new one says nothing."""
    older = replace(GONE, url="http://old")

    assert judge(NAME, SEEN, PULLED, [older, ANSWERING]) is Verdict.LEAVE


RETIRED = Millis(10**12)


SWEPT_MS = Millis(RETIRED - 60_000)
OLD = SWEPT_MS - CLOCKS_MS


@pytest.mark.parametrize(
    ("swept", "newest", "base", "goes"),
    [
        (SWEPT_MS, OLD, RETIRED + MARGIN_MS + 1, True),
        (SWEPT_MS, OLD, RETIRED + MARGIN_MS, False),  # a restore could begin before it had retired
        (SWEPT_MS, OLD, RETIRED - 1, False),
        (SWEPT_MS, OLD, None, False),  # nobody knows how far back a restore reaches
        (SWEPT_MS, OLD + 1, RETIRED + 2 * MARGIN_MS, False),  # perhaps written after it was read
        (None, RETIRED + MARGIN_MS, RETIRED + MARGIN_MS + 1, True),  # it could not be read
        (None, RETIRED + MARGIN_MS + 1, RETIRED + 2 * MARGIN_MS, False),  # somebody writes it still
    ],
)
def test_a_replica_goes_when_the_store_bears_it_out(
    swept: Millis | None, newest: int, base: int | None, *, goes: bool
) -> None:
    """Age alone deletes nothing."""
    oldest = None if base is None else Millis(base)

    assert may_go(RETIRED, swept, Millis(newest), oldest) is goes


def test_a_replica_stays_for_as_long_as_litestream_keeps_snapshots() -> None:
    """One place says how long that is: what litestream is told, and what is reckoned with."""
    assert not is_due(RETIRED, Millis(RETIRED + RESTORABLE_MS + MARGIN_MS))
    assert is_due(RETIRED, Millis(RETIRED + RESTORABLE_MS + MARGIN_MS + 1))
    assert f"retention: {SNAPSHOT_RETENTION_HOURS}h" in configuration(Path("s"))
    assert f"interval: {SNAPSHOT_INTERVAL_HOURS}h" in configuration(Path("s"))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "dfw",
        "dfw/m1",
        "combined/0000/x.ltx",
        f"dfw/m1/{'0' * 31}",
        f"dfw/m1/{'0' * 33}",
        f"dfw/m1/{'A' * 32}",
        f"dfw//{'0' * 32}",
        f"/m1/{'0' * 32}",
        f"DFW/m1/{'0' * 32}",
        f"../m1/{'0' * 32}",
        f"dfw/m_1/{'0' * 32}",
        f"dfw/m1/{'0' * 32}/0000",
        f"dfw/m1/{'0' * 32}\n",
    ],
)
def test_what_is_no_name_is_never_touched(path: str) -> None:
    """Only a whole region, machine and stream is ever read or deleted."""
    assert Name.parse(path) is None


def test_a_name_is_its_path() -> None:
    """Both ways."""
    assert Name.parse(str(NAME)) == NAME


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("file:///r", "file:///r/a"),
        ("file:///r/", "file:///r/a"),
        ("s3://b/p?endpoint=http://h:1", "s3://b/p/a?endpoint=http://h:1"),
    ],
)
def test_a_replica_lies_below_its_base(base: str, url: str) -> None:
    """Also when the base ends in how the store is reached."""
    assert url_of(base, "a") == url


def test_what_is_told_holds_no_secret() -> None:
    """Litestream's last line may name what it was told; nobody else hears it."""
    env = {"AWS_SECRET_ACCESS_KEY": "hush", "AWS_ACCESS_KEY_ID": "who", "MILEPOST_TOKEN": "t"}
    access = Access("s3://b/p?endpoint=http://h:1&x=key", env | {"AWS_CA_BUNDLE": "/c"})

    assert (
        access.told("first\nbad: s3://b?endpoint=http://h:1&x=key who hush") == "bad: s3://b?… … …"
    )
    assert "hush" not in repr(access)
    assert access.child_env() == {"AWS_SECRET_ACCESS_KEY": "hush", "AWS_ACCESS_KEY_ID": "who"}
    assert access.s3()["endpoint"] == "http://h:1"
    assert access.bucket == ("b", "p")
