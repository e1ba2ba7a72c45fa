"""One timer that ends what takes too long, whoever is at the other end.

A timer per connection or per request would cost every visitor something.  This
one looks at all connections twice a second, and only while there are any.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

SWEEP_SECONDS = 0.5
ENDINGS_MAX = 64  # at once: a crowd that is overdue must not hold up those who are not
PAUSE_SECONDS = 0.005  # before the rest of the crowd


class Swept(Protocol):
    """What may be overdue."""

    def sweep(self, now: float) -> bool:
        """End it if it is overdue at *now*, by the loop's clock; tell whether it was."""
        ...


class Sweeper:
    """Looks at *connections* again and again."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connections: Callable[[], Iterable[Swept]]
    ) -> None:
        self._loop, self._connections = loop, connections
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Begin to look, unless it is being done."""
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        self._timer, there, ended = None, False, 0
        for each in self._connections():
            there = True
            ended += each.sweep(now)
            if ended >= ENDINGS_MAX:
                break
        if there:
            seconds = PAUSE_SECONDS if ended >= ENDINGS_MAX else SWEEP_SECONDS
            self._timer = self._loop.call_later(seconds, self._look)
