"""The SQL of the registry: its links, and its feed of changes."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from link_registry.changing.store import (
    BY_ID,
    COLUMNS,
    add_link,
    entry_of,
    link_with_id,
    path_in_use,
    remove_link,
    replace_link,
)
from link_registry.drawing import first_free
from link_registry.entries import Entry
from link_registry.fencing.fence import Fence
from link_registry.news import News
from milepost import sqlite
from milepost.clock import Entropy
from milepost.database import Readers, Writer, open_database
from milepost.errors import NotFoundError, UnavailableError
from milepost.links import FeedPlace, Link
from milepost.sqlite import Connection
from milepost.vocabulary import Millis, Position

T = TypeVar("T")

READERS = 4

AFTER_ID = f"SELECT {COLUMNS} FROM link WHERE id > ? ORDER BY id LIMIT ?"

COUNT = "SELECT count(*) FROM link"

# Looks at the oldest rows only, however many there are.
PRUNE = """
    DELETE FROM change
     WHERE position <= (SELECT max(position) FROM change) - ?
       AND position IN (SELECT position
                          FROM (SELECT position, at_ms FROM change ORDER BY position LIMIT ?)
                         WHERE at_ms < ?)
"""

PRUNE_HISTORY = """
    DELETE FROM history
     WHERE rowid IN (SELECT rowid FROM history WHERE at_ms < ? ORDER BY at_ms LIMIT ?)
"""

POSITION = "SELECT coalesce(max(position), 0) FROM change"

CHANGED_MS = "SELECT at_ms FROM change WHERE position = ?"

CHANGES_AFTER = """
    SELECT position, action, rule FROM change WHERE position > ? ORDER BY position LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as the feed tells it; `rule` is JSON."""

    position: Position
    action: str
    rule: str


class LinkStore:
    """The registry's database."""

    def __init__(self, writer: Writer, readers: Readers, fence: Fence, news: News) -> None:
        self._writer = writer
        self._readers = readers
        self._news = news
        self.fence = fence

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        path: Path,
        entropy: Entropy,
        news: News,
        *,
        checkpoints: bool,
        machine: str = "local",
    ) -> AsyncIterator[Self]:
        """Lend the store in *path*, made if it is not there.  Changes are announced by *news*."""
        async with contextlib.AsyncExitStack() as stack:
            writer = Writer(open_database(path, "links"), checkpoints=checkpoints)
            stack.push_async_callback(writer.close)
            fence = await Fence.claim(path, writer, machine=machine, entropy=entropy)
            readers = await Readers.open(path, READERS)
            stack.push_async_callback(readers.close)
            yield cls(writer, readers, fence, news)

    @property
    def readers(self) -> Readers:
        """Return the connections that others may read from."""
        return self._readers

    def place(self, position: Position) -> FeedPlace:
        """Return *position* as a place in this database's history."""
        return FeedPlace(self.fence.history, position)

    async def create(self, entry: Entry, who: str) -> None:
        """Add *entry*, or refuse because its host and path are taken."""

        def work(db: Connection) -> None:
            add_link(db, entry, who)

        await self._insert(work)

    async def create_free(self, entries: Iterable[Entry], who: str) -> Entry:
        """Add the first of *entries* whose path nobody uses where it would be seen."""

        def work(db: Connection) -> Entry:
            entry = first_free(entries, lambda link: path_in_use(db, link))
            add_link(db, entry, who)
            return entry

        return await self._insert(work)

    async def _insert(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self.change(work)
        except sqlite.IntegrityError as error:  # the place was free, so it is the id
            msg = "the id drawn for the link is in use; ask again"
            raise UnavailableError(msg) from error

    async def revise(self, link_id: str, revise: Callable[[Entry], Entry], who: str) -> Entry:
        """Replace the link by what *revise* makes of it; what changes nothing leaves no trace."""

        def work(db: Connection) -> Entry:
            old = _required(link_with_id(db, link_id), link_id)
            new = revise(old)
            if new == old:
                return old
            replace_link(db, old, new, who)
            return new

        return await self.change(work)

    async def delete(
        self, link_id: str, now: Millis, who: str, check: Callable[[Entry], None] | None = None
    ) -> None:
        """Take the link away, unless *check* refuses what is there."""

        def work(db: Connection) -> None:
            old = _required(link_with_id(db, link_id), link_id)
            if check is not None:
                check(old)
            remove_link(db, old, now, who)

        await self.change(work)

    async def prune(self, before_ms: Millis, *, newest: int, at_once: int) -> int:
        """Forget up to *at_once* of the oldest changes, if they were made before that moment.

        As many of the history of links, and of the feed never one of the *newest*; return
        how many.
        """
        values = (max(newest, 1), at_once, before_ms)

        def work(db: Connection) -> int:
            noted = db.execute(PRUNE_HISTORY, (before_ms, at_once)).rowcount
            return noted + db.execute(PRUNE, values).rowcount

        return await self._writer.transact(work)

    async def get(self, link_id: str) -> Entry:
        """Return one link."""
        row = await self._readers.row(BY_ID, (link_id,))
        return _required(entry_of(row) if row else None, link_id)

    async def count(self) -> int:
        """Return how many links there are."""
        [(count,)] = await self._readers.rows(COUNT)
        return int(count)

    async def position(self) -> Position:
        """Return the position of the newest change; 0 before the first."""
        [(position,)] = await self._readers.rows(POSITION)
        return Position(position)

    async def changed_ms(self, position: Position) -> Millis | None:
        """Return when the change at *position* was made, if it is kept."""
        row = await self._readers.row(CHANGED_MS, (position,))
        return Millis(row[0]) if row else None

    async def changes_after(self, position: Position, limit: int) -> list[Change]:
        """Return committed changes in their order, without a gap."""
        rows = await self._readers.rows(CHANGES_AFTER, (position, limit))
        return [Change(*row) for row in rows]

    async def parts(self, links_max: int) -> AsyncIterator[tuple[Position, list[Link]]]:
        """Yield every link, *links_max* at a time and at least one part.

        All parts are of one moment, that of the position beside them.
        """
        async with self._readers.snapshot() as db:
            [(position,)] = await db.execute_fetchall(POSITION)
            after, more = "", True
            while more:
                rows = list(await db.execute_fetchall(AFTER_ID, (after, links_max)))
                yield Position(position), [entry_of(row).link for row in rows]
                after, more = rows[-1][0] if rows else after, len(rows) == links_max

    async def change(self, work: Callable[[Connection], T]) -> T:
        """Run *work* of another store in one transaction; the feed looks for what it changed."""
        try:
            return await self._writer.transact(work)
        finally:  # also when it failed: it may have happened, and looking costs little
            self._news.announce()


def _required(entry: Entry | None, link_id: str) -> Entry:
    if entry is None:
        msg = f"no link has the id {link_id[:40]!r}"
        raise NotFoundError(msg)
    return entry
