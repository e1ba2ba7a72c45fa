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

Entropy = Callable[[int], bytes]  # asked for n, answers n unpredictable bytes

system_entropy: Entropy = os.urandom


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
