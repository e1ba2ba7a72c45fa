"""Making copies of the keys, and deleting them on time.

Receipts promise that after `MILEPOST_KEYS_BACKUP_DAYS` no copy holds what was
destroyed.  So deleting comes first and depends on nothing: not on a new copy,
not on the database, not on an old copy's content, not on another's deletion.
And a copy goes a little before its time: between two looks nobody deletes, and
the receipts' moment may lie there.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from key_server.copies.names import DAY_MS, every_ms, expired, name_of, newest
from key_server.copies.place import FolderPlace, Place
from key_server.copies.store import CopyStore
from key_server.metrics import COPY_MADE
from key_server.periods import Span
from key_server.store import KeyStore
from key_server.wrapping import NONCE_BYTES, Vault
from milepost.clock import Clock, Entropy
from milepost.errors import RejectedError, ServiceError
from milepost.logs import get_log
from milepost.vocabulary import Millis

log = get_log(__name__)

STEP_SECONDS_MAX = 300.0
LOOKS_EARLY = 2  # one until the next look, one more for a look that is late


class Spans(Protocol):
    """Knows the epochs' spans."""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return them, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A copy that is safe."""

    name: str
    size: int
    made_ms: Millis
    until_ms: Millis  # it has to be deleted then


class Copier:
    """Makes copies in one place, if there is one."""

    def __init__(
        self,
        store: KeyStore,
        vault: Vault,
        issuer: Spans,
        *,
        place: Place | None,
        keep_days: int,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store, self._vault, self._issuer = CopyStore(store), vault, issuer
        self._place = place
        self._keep_ms = keep_days * DAY_MS
        self._clock, self._entropy = clock, entropy
        self._one_at_a_time = asyncio.Lock()

    async def make(self, folder: str | None = None) -> Made:
        """Make a copy now: in *folder*, or else in the configured place."""
        place = self._place if folder is None else FolderPlace(Path(folder))
        if place is None:
            msg = "no place for copies: set MILEPOST_KEYS_BACKUP, or name a folder with --to"
            raise RejectedError(msg)
        async with self._one_at_a_time:
            now = self._clock.now()
            copy = await self._store.read(now)
            sealed = copy.sealed(self._vault, self._entropy(NONCE_BYTES))
            await asyncio.to_thread(place.put, name_of(now), sealed)
        if place is self._place:
            COPY_MADE.set(now / 1000)
        log.info("keys.copied", bytes=len(sealed), epochs=len(copy.epochs))
        until = Millis(now + self._keep_ms)
        return Made(name=name_of(now), size=len(sealed), made_ms=now, until_ms=until)

    async def after_change(self) -> None:
        """Make a copy because something changed that an older one does not know.

        What was changed stays changed when that fails: `step` tries again.
        """
        if self._place is not None:
            await self._told("copy", self.make())

    async def step(self) -> float:
        """Delete what is due, then make what is due; say in how many seconds to look again."""
        if self._place is not None:
            await self._told("copies.delete", self._expire(self._place))
            await self._told("copy", self._make_due(self._place))
        return self._pause()

    def _pause(self) -> float:
        return min(STEP_SECONDS_MAX, every_ms(self._issuer.spans) / 4000)

    async def _expire(self, place: Place) -> None:
        names = await asyncio.to_thread(place.names)
        early_ms = round(LOOKS_EARLY * self._pause() * 1000)
        for name in expired(names, self._clock.now(), self._keep_ms - early_ms):
            await self._told("copies.delete", self._delete(place, name))

    async def _delete(self, place: Place, name: str) -> None:
        await asyncio.to_thread(place.delete, name)
        log.info("keys.copy_deleted", name=name)

    async def _make_due(self, place: Place) -> None:
        names, now = await asyncio.to_thread(place.names), self._clock.now()
        last = newest(names, now)
        COPY_MADE.set((last or 0) / 1000)
        age_ms = None if last is None else now - last
        if age_ms is None or age_ms >= every_ms(self._issuer.spans):
            await self.make()

    async def _told(self, what: str, work: Awaitable[object]) -> None:
        try:
            await work
        except ServiceError as error:
            log.warning("step.failed", step=what, code=error.code, reason=str(error))
