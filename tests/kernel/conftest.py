"""Fixtures of the kernel's tests."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.database import Readers, Writer, open_database
from milepost.vocabulary import Millis

SETTLE_TURNS = 20


class FakeClock:
    """A clock that moves when told, and wakes its sleepers in order."""

    def __init__(self) -> None:
        self._now = 0
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []
        self.asked: list[float] = []

    def now(self) -> Millis:
        """Return the time."""
        return Millis(self._now)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved that far."""
        self.asked.append(seconds)
        event = asyncio.Event()
        until = self._now + round(seconds * 1000)
        heapq.heappush(self._sleepers, (until, len(self.asked), event))
        await event.wait()

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass."""
        end = self._now + round(seconds * 1000)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, event = heapq.heappop(self._sleepers)
            event.set()
            await self.settle()
        self._now = end

    async def settle(self) -> None:
        """Let whoever can go on do so."""
        for _ in range(SETTLE_TURNS):
            await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands at 0."""
    return FakeClock()


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[tuple[Writer, Readers]]:
    """Lend the writer and two readers of a fresh replica database."""
    path = tmp_path / "replica.db"
    writer = Writer(open_database(path, "replica"), checkpoints=True)
    readers = await Readers.open(path, 2)
    yield writer, readers
    await readers.close()
    await writer.close()
