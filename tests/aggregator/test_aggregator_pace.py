"""When a source is asked again."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.pulling.pace import (
    LIMIT_BYTES_MIN,
    PAUSE_SECONDS_MAX,
    PAUSE_SECONDS_MIN,
    TAKING_IN_SECONDS,
    limit_bytes,
    pause_seconds,
)
from milepost.wire import LIMIT_BYTES_DEFAULT


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_within_their_bounds(failures: int, dice: float) -> None:
    """Never at once after a failure, never more than the longest pause."""
    pause = pause_seconds(failures, dice)

    assert PAUSE_SECONDS_MIN / 2 <= pause <= PAUSE_SECONDS_MAX
    assert pause <= pause_seconds(failures + 1, dice)


def test_who_answers_is_asked_again_at_once() -> None:
    """A source holds its answer back until it has one, so there is nothing to wait for."""
    assert pause_seconds(0, 0.9) == 0


@given(st.floats(1e-8, 1e-4), st.integers(1, 20))
def test_what_is_asked_for_comes_to_fit_the_time(seconds_per_byte: float, sources: int) -> None:
    """However fast the machine is, and however many take turns, a transaction stays short."""
    limit = LIMIT_BYTES_MIN
    for _ in range(10):
        limit = limit_bytes(limit, limit * seconds_per_byte * sources, more=True)

    assert LIMIT_BYTES_MIN <= limit <= LIMIT_BYTES_DEFAULT
    seconds = limit * seconds_per_byte * sources
    assert seconds <= TAKING_IN_SECONDS * 1.01 or limit == LIMIT_BYTES_MIN
    assert seconds >= TAKING_IN_SECONDS * 0.49 or limit == LIMIT_BYTES_DEFAULT


@given(st.floats(0, 100))
def test_only_an_answer_that_left_something_out_raises_the_limit(seconds: float) -> None:
    """A quiet source says nothing about how long its backlog would take."""
    assert limit_bytes(LIMIT_BYTES_DEFAULT // 2, seconds, more=False) <= LIMIT_BYTES_DEFAULT // 2
