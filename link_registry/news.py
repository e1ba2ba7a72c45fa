"""Waking whoever waits for a change, without a queue.

A waiter takes the event of the next announcement, then looks at the database,
then waits: what is announced while it looks is not missed, and a waiter that
sleeps long finds everything in the database.
"""

import asyncio


class News:
    """Tells any number of waiters that there may be something new."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Return the event that the next announcement sets."""
        return self._next

    def announce(self) -> None:
        """Wake all who wait."""
        told, self._next = self._next, asyncio.Event()
        told.set()
