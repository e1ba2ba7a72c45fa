"""The schedule: what runs when, and what ends the process."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.jobs import Jobs
from aggregator.pace import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, pause_seconds
from milepost.clock import SystemClock
from milepost.errors import InvariantError


async def test_a_step_runs_again_when_it_said() -> None:
    """Zero is at once; the runs of one step never overlap."""
    jobs = Jobs(SystemClock())
    runs, inside = [], 0
    enough = asyncio.Event()

    async def step() -> float:
        nonlocal inside
        inside += 1
        runs.append(inside)
        await asyncio.sleep(0)
        inside -= 1
        if len(runs) == 20:
            enough.set()
        return 0.0

    jobs.add("step", step)
    task = asyncio.create_task(jobs.run())
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert set(runs) == {1}


async def test_a_step_that_hangs_delays_no_other() -> None:
    """Each is a job of its own; the end cancels what still runs."""
    jobs = Jobs(SystemClock())
    ran, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> float:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0.0

    async def quick() -> float:
        ran.set()
        return 60.0

    jobs.add("hang", hang)
    jobs.add("quick", quick)
    task = asyncio.create_task(jobs.run())
    await asyncio.wait_for(ran.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert ended.is_set()


async def test_what_no_step_may_raise_ends_the_process() -> None:
    """A job that died quietly would be worse than a restart."""
    jobs = Jobs(SystemClock())

    async def step() -> float:
        msg = "our own promise"
        raise InvariantError(msg)

    jobs.add("step", step)
    with pytest.raises(InvariantError, match="our own promise"):
        await asyncio.wait_for(jobs.run(), 5)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_within_their_bounds(failures: int, dice: float) -> None:
    """Never at once after a failure, never more than the longest pause."""
    pause = pause_seconds(failures, dice)

    assert PAUSE_SECONDS_MIN / 2 <= pause <= PAUSE_SECONDS_MAX
    assert pause <= pause_seconds(failures + 1, dice)


def test_who_answers_is_asked_again_at_once() -> None:
    """A source holds its answer back until it has one, so there is nothing to wait for."""
    assert pause_seconds(0, 0.9) == 0
