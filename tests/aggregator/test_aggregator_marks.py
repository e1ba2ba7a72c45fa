"""Marks: up to when all that a stream's source had committed is applied."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.draining.marks import Mark, Passage, passages
from aggregator.draining.rules import complete_since
from milepost.batch import first_chain
from milepost.vocabulary import LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, StreamHead

STREAM = StreamId(bytes(16))


def a_head(last_seq: int) -> StreamHead:
    """Return what is announced of the stream."""
    return StreamHead(
        id=STREAM,
        life=LifeId(bytes(16)),
        created_ms=Millis(0),
        open=True,
        last_seq=Seq(last_seq),
        last_chain=first_chain(STREAM),
        records=0,
    )


def told(
    before: dict[StreamId, Passage], asked_ms: int, last_seq: int, at: int, promised: int = 0
) -> dict[StreamId, Passage]:
    """Return the stream's passage after one more answer."""
    cursors = {STREAM: Cursor(Seq(at), first_chain(STREAM))}
    return passages(before, {STREAM: Seq(promised)}, cursors, [a_head(last_seq)], Millis(asked_ms))


def test_a_stream_that_is_never_at_its_end_comes_past_its_marks() -> None:
    """It is complete up to when the mark was set; then the newest answer is the mark."""
    first = told({}, 100, 5, 2)
    second = told(first, 200, 9, 4)
    third = told(second, 300, 12, 7)
    fourth = told(third, 400, 20, 12)

    assert [each[STREAM].complete_ms for each in (first, second, third, fourth)] == [
        0,
        0,
        100,
        300,
    ]
    assert third[STREAM].mark == Mark(Millis(300), Seq(12))


def test_at_the_end_there_is_nothing_to_wait_for() -> None:
    """Complete up to the answer itself, also when it is the first."""
    assert told({}, 100, 5, 5)[STREAM].complete_ms == 100


def test_a_file_that_comes_back_shorter_takes_no_promise_back() -> None:
    """Neither one that was heard since the start, nor one from before."""
    heard = told(told({}, 100, 9, 4), 200, 4, 4)
    stored = told({}, 200, 4, 4, promised=9)

    assert heard[STREAM].complete_ms == stored[STREAM].complete_ms == 0
    assert told(stored, 300, 9, 9)[STREAM].complete_ms == 300


def test_two_sources_with_one_stream_must_agree() -> None:
    """A copy that stands still says nothing of the file that is written to."""
    writing, copy = told({}, 100, 5, 5), told({}, 900, 5, 5)

    assert complete_since([writing, copy]) == {STREAM: 100}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_what_is_called_complete_is_applied(steps: list[tuple[int, int]]) -> None:
    """However answers and batches come: all that was there when it was asked has been passed."""
    length = at = asked_ms = 0
    lengths = {0: 0}
    state: dict[StreamId, Passage] = {}
    for written, applied in steps:
        asked_ms += 10
        length += written
        lengths[asked_ms] = length
        at = min(length, at + applied)
        state = told(state, asked_ms, length, at)
        complete_ms = state[STREAM].complete_ms

        assert lengths[complete_ms] <= at
        assert at < length or complete_ms == asked_ms
