"""What may be acknowledged: what no accident to this machine can take away any more.

Without replication that is what is committed.  With it, it is what had been
committed before a sync of the replica began, once that sync has succeeded.
"""

from collections.abc import Awaitable, Callable

from aggregator.store import Store
from milepost.vocabulary import LifeId, StreamId
from milepost.wire import Cursor

Sync = Callable[[], Awaitable[None]]


class Safe:
    """The cursors that may be acknowledged."""

    def __init__(self, store: Store, sync: Sync | None) -> None:
        """Ask *store* what is committed, and *sync* to replicate it; None: no replication."""
        self._store = store
        self._sync = sync
        self._synced_commits = -1
        self._cursors: dict[StreamId, Cursor] = {}
        self._ended: frozenset[LifeId] = frozenset()

    def of(self, committed: dict[StreamId, Cursor]) -> dict[StreamId, Cursor]:
        """Return how far the *committed* streams may be acknowledged."""
        if self._sync is None:
            return committed
        return {key: self._cursors[key] for key in committed if key in self._cursors}

    def ended(self, committed: frozenset[LifeId]) -> frozenset[LifeId]:
        """Return which of the *committed* ends of lives may be acknowledged."""
        return committed if self._sync is None else committed & self._ended

    async def replicate(self) -> None:
        """Replicate what is new, and only then let it be acknowledged."""
        commits = self._store.commits
        if self._sync is None or commits == self._synced_commits:
            return
        cursors, ended = await self._store.cursors_present(), await self._store.ended_present()
        await self._sync()
        self._cursors, self._ended, self._synced_commits = cursors, ended, commits
