"""A bell: wakes whoever waits for news, as often as there are any."""

import asyncio


class Bell:
    """Rung by commits, heard by long polls."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closed = False

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._event.set()
        self._event = asyncio.Event()

    def close(self) -> None:
        """Wake everybody for the last time: nobody waits any more."""
        self.closed = True
        self._event.set()

    def hear(self) -> asyncio.Event:
        """Return what the next ring will set.  Take it before looking for news."""
        return self._event
