"""Keeping the audit trail.

What gives out or destroys a secret is on disk before its answer leaves.  Calls
that give out nothing secret, and come again and again, are summed up and written
once a minute.
"""

from collections import Counter
from collections.abc import Mapping

from key_server.store import KeyStore
from milepost.clock import Clock
from milepost.vocabulary import Epoch

SUM_SECONDS = 60.0
NO_EPOCH = Epoch(0)

# What is asked for, as the trail names it.
LIST, STATES, SALTS, RECORD_KEY = "list", "states", "salts", "record-key"
HASH, OPEN_ADDRESSES = "hash", "open-addresses"
ROTATE, DESTROY_SALT, DESTROY_RECORD = "rotate", "destroy-salt", "destroy-record"
RECEIPTS = "receipts"
BACKUP, RECOVER, REWRAP = "backup", "recover", "rewrap"


class AuditTrail:
    """Writes down who asked for what."""

    def __init__(self, store: KeyStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._sums: Counter[tuple[str, str]] = Counter()

    async def note(self, who: str, what: str, epoch: Epoch = NO_EPOCH, count: int = 1) -> None:
        """Write one row.  Return when it is on disk."""
        await self._store.note([(who, what, epoch, count)], self._clock.now())

    async def note_all(self, who: str, what: str, counts: Mapping[Epoch, int]) -> None:
        """Write one row for each epoch in *counts*.  Return when all are on disk."""
        rows = [(who, what, epoch, count) for epoch, count in sorted(counts.items())]
        await self._store.note(rows, self._clock.now())

    def add_up(self, who: str, what: str) -> None:
        """Count a call that `write_sums` will write down."""
        self._sums[who, what] += 1

    async def write_sums(self) -> None:
        """Write down what has been counted since the last time."""
        sums, self._sums = self._sums, Counter()
        if not sums:
            return
        rows = [(who, what, NO_EPOCH, count) for (who, what), count in sorted(sums.items())]
        try:
            await self._store.note(rows, self._clock.now())
        except BaseException:
            self._sums += sums  # another time
            raise
