"""What may be acknowledged: what no accident to this machine can take away any more.

Without replication that is what is committed.  With it, it is what had been
committed before a sync of the replica began, once that sync has succeeded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from aggregator.pulling.standing import Standing
from aggregator.store import Store
from milepost.litestream import Litestream
from milepost.vocabulary import LifeId, StreamId
from milepost.wire import Cursor


class Copy(Protocol):
    """A copy of the database elsewhere."""

    @property
    def behind(self) -> bool:
        """Tell whether the database is not known to be copied at all."""
        ...

    async def sync(self) -> None:
        """Return when all that is committed now is copied, or raise UnavailableError."""
        ...


class Replica:
    """The copy that litestream makes of *database*."""

    def __init__(self, litestream: Litestream, database: Path) -> None:
        self._litestream = litestream
        self._database = database

    @property
    def behind(self) -> bool:
        """Tell whether litestream has yet to be told of the database."""
        return self._litestream.behind

    async def sync(self) -> None:
        """Return when all that is committed now has left this machine."""
        await self._litestream.sync(self._database)


class Safe:
    """What may be acknowledged: of a branch its own place, of what is abandoned its end."""

    def __init__(self, store: Store, copy: Copy | None) -> None:
        """Ask *store* what is committed, and have *copy* take it; None: no replication."""
        self._store = store
        self._copy = copy
        self._synced_commits = -1
        self._standings: dict[StreamId, Standing] = {}
        self._ended: frozenset[LifeId] = frozenset()

    def of(self, source: str, committed: Mapping[StreamId, Standing]) -> dict[StreamId, Cursor]:
        """Return how far *source* may forget the *committed* streams."""
        safe = committed if self._copy is None else self._standings
        return {key: safe[key].acknowledged(source) for key in committed if key in safe}

    def ended(self, committed: frozenset[LifeId]) -> frozenset[LifeId]:
        """Return which of the *committed* ends of lives may be acknowledged."""
        return committed if self._copy is None else committed & self._ended

    async def replicate(self) -> None:
        """Replicate what is new, and only then let it be acknowledged."""
        commits = self._store.commits
        if self._copy is None or commits == self._synced_commits:
            return
        if self._copy.behind:  # asked to sync what it does not hold, litestream answers 404
            return
        standings = await self._store.standings_present()
        ended = await self._store.ended_present()
        await self._copy.sync()
        self._standings, self._ended, self._synced_commits = standings, ended, commits
