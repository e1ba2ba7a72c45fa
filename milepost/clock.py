"""Time and chance, as things that are given and not taken.

Pure code takes `now`; only loops hold a Clock, and only composition roots make
one.  The same goes for Entropy, which is `os.urandom` in production.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Protocol

from milepost.vocabulary import Millis

Counter = Callable[[], int]  # milliseconds since some moment; nobody can set it
Entropy = Callable[[int], bytes]  # asked for n, answers n unpredictable bytes

system_entropy: Entropy = os.urandom


def uptime_ms() -> int:
    """Return how long the machine has been up, also asleep, whatever its clock was set to."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Clock(Protocol):
    """What a long-lived task may ask about time.  Pure code takes `now` instead."""

    def now(self) -> Millis:
        """Return wall-clock time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> Millis:
        """Return wall-clock time."""
        return Millis(time.time_ns() // 1_000_000)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
