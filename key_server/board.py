"""The board: the signed list as it stands, and who waits for the next one."""

import asyncio
import contextlib
from collections.abc import Container
from dataclasses import dataclass

from milepost.epochs import PublicEpoch
from milepost.errors import UnavailableError
from milepost.vocabulary import Millis

WAITERS_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One signed list: what it says, and the bytes that are sent."""

    version: Millis
    epochs: tuple[PublicEpoch, ...]
    document: bytes
    etag: str


class Board:
    """Shows one list at a time and wakes who waits for another."""

    def __init__(self, shown: Published) -> None:
        self.shown = shown
        self._waiters = 0
        self._closed = False
        self._changed = asyncio.Event()

    def show(self, published: Published) -> None:
        """Show *published* from now on."""
        if published.etag != self.shown.etag:
            self.shown = published
            self._wake()

    def close(self) -> None:
        """Let nobody wait any longer, so that the service can end at once."""
        self._closed = True
        self._wake()

    async def wait_for_other(self, known: Container[str], seconds: float) -> Published:
        """Return the list as soon as it is none of *known*, or as it is after *seconds*."""
        if seconds and self._stays(known):
            if self._waiters >= WAITERS_MAX:
                msg = f"{WAITERS_MAX} callers wait already; ask again later"
                raise UnavailableError(msg)
            self._waiters += 1
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._another(known)
            finally:
                self._waiters -= 1
        return self.shown

    async def _another(self, known: Container[str]) -> None:
        while self._stays(known):
            await self._changed.wait()

    def _stays(self, known: Container[str]) -> bool:
        return self.shown.etag in known and not self._closed

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
