"""When a source is asked again."""

from hypothesis import given
from hypothesis import strategies as st

from aggregator.pulling.pace import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, pause_seconds


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_within_their_bounds(failures: int, dice: float) -> None:
    """Never at once after a failure, never more than the longest pause."""
    pause = pause_seconds(failures, dice)

    assert PAUSE_SECONDS_MIN / 2 <= pause <= PAUSE_SECONDS_MAX
    assert pause <= pause_seconds(failures + 1, dice)


def test_who_answers_is_asked_again_at_once() -> None:
    """A source holds its answer back until it has one, so there is nothing to wait for."""
    assert pause_seconds(0, 0.9) == 0
