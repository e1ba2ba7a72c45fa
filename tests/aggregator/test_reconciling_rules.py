"""The rules by which everything is reconciled, on paper."""

import pytest

from aggregator.reconciling.rules import (
    Books,
    LifeState,
    Reckoning,
    Sealed,
    Standing,
    StreamState,
    Suspect,
    is_settled,
    outran_its_meter,
    reckon,
    span_of,
    standing,
)
from aggregator.reconciling.summing import page, summarize
from milepost.batch import HOUR_MS
from tests.aggregator.books import ALL, HOUR, LIFE, a_life, a_row, a_stream, one

OVER = a_life(alive=False)
VANISHED = a_life(present=False)
OPEN = a_stream(open=True)


@pytest.mark.parametrize(
    ("life", "streams", "state"),
    [
        (a_life(), [a_stream()], Standing.GOES_ON),
        (a_life(), [a_stream(abandoned=True)], Standing.GOES_ON),
        (OVER, [], Standing.SETTLED),
        (OVER, [a_stream()], Standing.SETTLED),
        (OVER, [a_stream(), OPEN], Standing.OVER),
        (OVER, [a_stream(at_end=False, complete=False)], Standing.OVER),
        (OVER, [a_stream(at_end=False, abandoned=True)], Standing.SETTLED),
        (VANISHED, [a_stream(present=False, open=True, complete=False)], Standing.SETTLED),
        (a_life(gone=True), [OPEN], Standing.OVER),
        (a_life(gone=True), [a_stream(open=True, swept=True)], Standing.SETTLED),
        (a_life(gone=True), [a_stream(open=True, abandoned=True)], Standing.SETTLED),
    ],
    ids=[
        "a life that goes on",
        "abandoned while it goes on",
        "no stream",
        "whole",
        "one still open",
        "not pulled to its end",
        "written off",
        "gone without a trace",
        "a machine that is gone",
        "its replica was read",
        "and it is written off",
    ],
)
def test_what_may_still_come_of_a_life(
    life: LifeState, streams: list[StreamState], state: Standing
) -> None:
    """Lost is only what cannot come any more."""
    assert standing(life, streams, sweeps=False) is state


@pytest.mark.parametrize(
    ("stream", "settled"),
    [
        (a_stream(present=False), True),
        (a_stream(present=False, open=True), False),
        (a_stream(present=False, complete=False), False),
        (a_stream(present=False, complete=False, swept=True), True),
        (a_stream(complete=False), False),
        (a_stream(complete=False, swept=True), True),
        (a_stream(complete=False, at_end=False, swept=True), False),
        (a_stream(), True),
    ],
    ids=[
        "retired",
        "vanished open",
        "vanished early",
        "swept",
        "came back shorter",
        "and its replica was read",
        "and has yet to be pulled itself",
        "whole",
    ],
)
def test_with_replicas_what_is_not_there_may_come_back(
    stream: StreamState, *, settled: bool
) -> None:
    """Nothing is lost before the replica has been read."""
    assert is_settled(stream, gone=False, sweeps=True) is settled


def test_what_goes_on_is_behind() -> None:
    """Accepted and in no batch yet: that is no loss."""
    found = one(a_row(recorded=7, pulled=7), a_life(), OPEN)

    assert (found.served, found.recorded, found.behind, found.lost) == (10, 7, 3, 0)
    assert found.unaccounted == 0


def test_what_died_uncommitted_is_lost() -> None:
    """By number, once nothing more can come."""
    found = one(a_row(recorded=7, pulled=7), OVER, a_stream())

    assert (found.served, found.recorded, found.behind, found.lost) == (10, 7, 0, 3)
    assert found.unaccounted == 0


def test_a_life_that_goes_on_never_recorded_more_than_it_accepted() -> None:
    """Whatever was counted twice shows at once."""
    found = one(a_row(recorded=12, pulled=12), a_life(), OPEN)

    assert found.unaccounted == 2


def test_a_meter_older_than_its_batches_is_not_believed() -> None:
    """After a power cut the batches are on disk and the page is not: they prove what was served."""
    row = a_row(recorded=12, pulled=12, shed=3, meter_shed=1, excluded=0, meter_excluded=2)
    found = one(row, OVER, a_stream())

    assert (found.served, found.recorded, found.shed, found.excluded) == (17, 12, 3, 2)
    assert (found.lost, found.unaccounted) == (0, 0)
    assert outran_its_meter(row, OVER)
    assert not outran_its_meter(row, a_life())


def test_hours_that_a_meter_has_let_go_are_what_the_tallies_say() -> None:
    """A page holds 500 hours: of those before the first that was ever told it says nothing."""
    found = one(a_row(hour_ms=HOUR - HOUR_MS, accepted=None), a_life(), OPEN)

    assert (found.served, found.recorded, found.unaccounted) == (10, 10, 0)


def test_without_a_meter_announcements_are_promises() -> None:
    """What was announced and is gone is lost by number, in the hour of the last record."""
    unmetered = a_life(metered_since=None, present=False, newest_ms=HOUR + HOUR_MS + 1)
    missing = a_stream(present=False, complete=False, missing=4)
    found = reckon(
        Books(rows=[a_row(accepted=None)], lives={LIFE: unmetered}, streams={LIFE: [missing]})
    )

    assert found["dfw", HOUR].lost == 0
    assert found["dfw", HOUR + HOUR_MS] == Reckoning(served=4, lost=4)


def test_without_any_record_a_promise_counts_when_the_stream_began() -> None:
    """And as long as the stream may come, it is behind."""
    unmetered = a_life(metered_since=None, present=False)
    found = reckon(
        Books(
            rows=[],
            lives={LIFE: unmetered},
            streams={LIFE: [a_stream(open=True, complete=False, missing=4)]},
        )
    )

    assert found == {("dfw", HOUR): Reckoning(served=4, behind=4)}


@pytest.mark.parametrize(
    ("changes", "sealed", "left"),
    [
        ({"pulled": 6}, Sealed(waiting=4), 0),
        ({"pulled": 6}, Sealed(set_aside=4), 0),
        ({"pulled": 6, "set_aside": 1}, Sealed(1, 2), 0),
        ({"pulled": 11}, Sealed(), 1),
        ({"pulled": 9}, Sealed(), 1),
        ({}, Sealed(waiting=4), 4),
    ],
    ids=["waiting", "set aside", "all three", "a hit too many", "a hit too few", "in two places"],
)
def test_what_was_recorded_is_in_one_place(
    changes: dict[str, int], sealed: Sealed, left: int
) -> None:
    """Pulled, waiting or set aside; nothing else, and nothing twice."""
    found = one(a_row(**changes), a_life(), OPEN, sealed={(LIFE, HOUR): sealed})

    assert found.unaccounted == left


def test_nothing_is_set_off_against_anything() -> None:
    """One too many here and one too few there are two that nobody explains."""
    rows = [a_row(pulled=11), a_row(hour_ms=HOUR + HOUR_MS, pulled=9)]
    found = reckon(Books(rows=rows, lives={LIFE: a_life()}))

    assert summarize([], found, [], ALL).total.unaccounted == 2


def test_a_damaged_batch_is_recorded_and_set_aside() -> None:
    """And no loss, although no tally of it was applied."""
    found = one(a_row(recorded=7, pulled=7), OVER, a_stream(), damaged={(LIFE, HOUR): 3})

    assert (found.recorded, found.set_aside, found.lost, found.unaccounted) == (10, 3, 0, 0)


def test_what_a_damaged_row_says_of_itself_is_no_alarm() -> None:
    """The count may be what is damaged: the meter of a life that goes on bounds it."""
    found = one(a_row(recorded=7, pulled=7), a_life(), OPEN, damaged={(LIFE, HOUR): 900})

    assert (found.recorded, found.set_aside, found.behind, found.unaccounted) == (10, 3, 0, 0)


@pytest.mark.parametrize(
    ("known", "newest", "following", "since", "until"),
    [
        (50, 0, None, 50, None),
        (50, 70, None, 70, None),
        (50, 70, 90, 70, 90),
        (50, 70, 60, 60, 60),
        (None, 0, None, 10, None),
    ],
    ids=["as told", "its records came later", "until the next", "two clocks", "never told of"],
)
def test_a_span_begins_where_knowledge_ends(
    known: int | None, newest: int, following: int | None, since: int, until: int | None
) -> None:
    """With the last answer or the last record, and ends where the next life began."""
    span = span_of(Suspect(LIFE, "dfw", "m", 10, known, newest, following))

    assert (span.from_ms, span.until_ms) == (since, until)


def test_a_page_cuts_no_hour_in_two() -> None:
    """Whoever asks for what is before its end gets the rest, and nothing twice."""
    hours = [(("a", 3), Reckoning()), (("b", 3), Reckoning()), (("a", 2), Reckoning())]

    assert page(hours, 3) == (hours, None)
    assert page(hours, 2) == (hours[:2], 3)
    assert page(hours, 1) == (hours[:2], 3)
    assert page(hours[2:], 1) == (hours[2:], None)
