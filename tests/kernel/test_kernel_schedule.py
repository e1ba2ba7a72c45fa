"""The schedule: what runs when, and what ends the process."""

import asyncio

import pytest

from milepost.clock import SystemClock
from milepost.errors import InvariantError
from milepost.schedule import Schedule
from milepost.vocabulary import Millis


async def test_a_step_runs_again_when_it_said() -> None:
    """Zero is at once; the runs of one step never overlap."""
    schedule = Schedule(SystemClock())
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

    schedule.add("step", step)
    task = asyncio.create_task(schedule.run())
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert set(runs) == {1}


async def test_a_step_that_hangs_delays_no_other() -> None:
    """Each is a job of its own; the end cancels what still runs."""
    schedule = Schedule(SystemClock())
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

    schedule.add("hang", hang)
    schedule.add("quick", quick)
    task = asyncio.create_task(schedule.run())
    await asyncio.wait_for(ran.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert ended.is_set()


async def test_what_no_step_may_raise_ends_the_process() -> None:
    """A job that died quietly would be worse than a restart."""
    schedule = Schedule(SystemClock())

    async def step() -> float:
        msg = "our own promise"
        raise InvariantError(msg)

    schedule.add("step", step)
    with pytest.raises(InvariantError, match="our own promise"):
        await asyncio.wait_for(schedule.run(), 5)


class Backwards(SystemClock):
    """A clock that is set back by an hour at each look."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> Millis:
        """Return an earlier moment each time."""
        self._now = Millis(self._now - 3_600_000)
        return self._now


async def test_a_clock_that_is_set_back_makes_no_pause_longer() -> None:
    """A pause is a length of time, not a moment."""
    schedule = Schedule(Backwards())
    runs, enough = 0, asyncio.Event()

    async def step() -> float:
        nonlocal runs
        runs += 1
        if runs == 3:
            enough.set()
        return 0.01

    schedule.add("step", step)
    task = asyncio.create_task(schedule.run())
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert runs == 3


async def test_a_step_that_is_removed_finishes_its_run() -> None:
    """It runs no more after that, and who removed it hears when."""
    schedule = Schedule(SystemClock())
    inside, go_on, heard = asyncio.Event(), asyncio.Event(), asyncio.Event()
    runs = []

    async def step() -> float:
        inside.set()
        await go_on.wait()
        runs.append(1)
        return 0.0

    schedule.add("step", step)
    task = asyncio.create_task(schedule.run())
    await asyncio.wait_for(inside.wait(), 5)
    schedule.remove("step", heard.set)
    early = heard.is_set()
    go_on.set()
    await asyncio.wait_for(heard.wait(), 5)
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (early, runs) == (False, [1])


async def test_a_step_that_comes_back_does_not_overlap_itself() -> None:
    """The new one begins when the run of the old has finished."""
    schedule = Schedule(SystemClock())
    inside, go_on, ran = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[str] = []

    async def old() -> float:
        seen.append("old begins")
        inside.set()
        await go_on.wait()
        seen.append("old ends")
        return 0.0

    async def new() -> float:
        seen.append("new")
        ran.set()
        return 60.0

    schedule.add("step", old)
    task = asyncio.create_task(schedule.run())
    await asyncio.wait_for(inside.wait(), 5)
    schedule.remove("step", lambda: seen.append("heard"))
    schedule.add("step", new)
    await asyncio.sleep(0.05)
    go_on.set()
    await asyncio.wait_for(ran.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert seen == ["old begins", "old ends", "heard", "new"]


async def test_a_step_that_is_removed_in_its_pause_runs_no_more() -> None:
    """A pause is no run."""
    schedule = Schedule(SystemClock())
    heard = asyncio.Event()
    runs = []

    async def step() -> float:
        runs.append(1)
        return 0.1

    schedule.add("step", step)
    task = asyncio.create_task(schedule.run())
    await asyncio.sleep(0.05)
    schedule.remove("step", heard.set)
    await asyncio.wait_for(heard.wait(), 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert runs == [1]
