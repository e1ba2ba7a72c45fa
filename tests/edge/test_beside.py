"""The thread beside the loop: waited for where that is short, and never where it is long."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from regional_logger import beside as beside_module
from regional_logger.beside import Beside


@pytest.fixture
def beside() -> Iterator[Beside]:
    """Give a thread, and end it."""
    made = Beside("test")
    yield made
    made.close()


async def steps_beside(beside: Beside, seconds: float) -> int:
    """Return how many steps the loop made while the thread was busy for *seconds*."""
    steps = 0

    async def step() -> None:
        nonlocal steps
        while True:
            await asyncio.sleep(0)
            steps += 1

    others = asyncio.create_task(step())
    await asyncio.sleep(0)
    before = steps
    await beside.do(time.sleep, seconds, stand_by=True)
    after = steps
    others.cancel()
    return after - before


async def test_what_is_short_is_waited_for(beside: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else runs meanwhile."""
    monkeypatch.setattr(beside_module, "STAND_BY_SECONDS", 10.0)
    assert await steps_beside(beside, 0.0) == 0


async def test_what_is_long_holds_nobody_up(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on, and for a while it does not even try to wait."""
    monkeypatch.setattr(beside_module, "SLOW_SECONDS", 60.0)
    assert await steps_beside(beside, 0.05) > 0
    assert await steps_beside(beside, 0.001) > 0


async def test_after_a_while_it_is_waited_for_again(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was slow once is not held to be slow for ever."""
    monkeypatch.setattr(beside_module, "SLOW_SECONDS", 0.0)
    await steps_beside(beside, 0.05)
    monkeypatch.setattr(beside_module, "STAND_BY_SECONDS", 10.0)

    assert await steps_beside(beside, 0.0) == 0


@pytest.mark.parametrize("stand_by", [False, True])
async def test_errors_come_through(beside: Beside, *, stand_by: bool) -> None:
    """Also a disk's own time-out, which is no haste of ours."""

    def fail() -> None:
        raise TimeoutError(110, "the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        await beside.do(fail, stand_by=stand_by)


async def test_results_come_back(beside: Beside) -> None:
    """Whichever way."""
    assert await beside.do(max, 1, 2) == 2
    assert await beside.do(max, 1, 2, stand_by=True) == 2
