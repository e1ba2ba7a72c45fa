"""What may be acknowledged: what no accident to this machine can take away any more.

Without replication that is what is committed.  With it, it is what had been
committed before a sync of the replica began, once that sync has succeeded.
"""

from collections.abc import Awaitable, Callable

from aggregator.store import Store
from milepost.vocabulary import StreamId
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

    def of(self, committed: dict[StreamId, Cursor]) -> dict[StreamId, Cursor]:
        """Return how far the *committed* streams may be acknowledged."""
        if self._sync is None:
            found = committed
        else:
            found = {key: self._cursors[key] for key in committed if key in self._cursors}
        return {stream: cursor for stream, cursor in found.items() if cursor.seq}

    async def replicate(self) -> None:
        """Replicate what is new, and only then let it be acknowledged."""
        commits = self._store.commits
        if self._sync is None or commits == self._synced_commits:
            return
        cursors = await self._store.cursors_present()
        await self._sync()
        self._cursors, self._synced_commits = cursors, commits
