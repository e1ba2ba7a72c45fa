"""The one shape of a loop."""

import asyncio

import pytest

from milepost.errors import InvariantError, UnavailableError
from milepost.loops import repeat
from tests.kernel.conftest import FakeClock


class Step:
    """A step that fails as long as it is told to."""

    def __init__(self) -> None:
        self.rounds = 0
        self.error: Exception | None = None

    async def __call__(self) -> None:
        """Count, and fail if told."""
        self.rounds += 1
        if self.error is not None:
            raise self.error


async def stop(task: "asyncio.Task[None]") -> None:
    """End *task* and wait for it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_step_that_fails_is_tried_again(clock: FakeClock) -> None:
    """An unavailable peer costs one round; an hour of rounds takes no time."""
    step = Step()
    step.error = UnavailableError("peer is down")

    task = asyncio.create_task(repeat(clock, 60, "pull", step))
    await clock.advance(3600)
    await stop(task)

    assert step.rounds == 61


async def test_the_pause_doubles_up_to_its_bound_and_comes_back(clock: FakeClock) -> None:
    """A peer in trouble is left in peace, and is asked as before when it is well again."""
    step = Step()
    step.error = UnavailableError("peer is down")

    task = asyncio.create_task(repeat(clock, 1, "pull", step, backoff_seconds_max=5))
    await clock.advance(12)
    step.error = None
    await clock.advance(10)
    await stop(task)

    assert clock.asked[:4] == [2, 4, 5, 5]
    assert clock.asked[4:6] == [1, 1]


async def test_what_is_not_expected_ends_the_loop(clock: FakeClock) -> None:
    """A loop that has died quietly is worse than a restart."""
    step = Step()
    step.error = InvariantError("impossible")

    with pytest.raises(InvariantError):
        await repeat(clock, 1, "pull", step)

    assert step.rounds == 1
