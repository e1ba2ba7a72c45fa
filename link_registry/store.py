"""The SQL of the registry: links, and the change that each transaction leaves behind."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from link_registry.entries import Entry
from link_registry.fencing.fence import Fence
from link_registry.news import News
from milepost import sqlite
from milepost.clock import Entropy
from milepost.database import Readers, Writer, open_database
from milepost.errors import ConflictError, NotFoundError, UnavailableError
from milepost.links import FeedPlace, Link
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId, Millis, Position

T = TypeVar("T")

READERS = 4

INSERT = """
    INSERT INTO link (id, host, path, destination, status, enabled, pass_query, expires_ms,
                      version, created_ms, updated_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE = """
    UPDATE link
       SET host = ?, path = ?, destination = ?, status = ?, enabled = ?,
           pass_query = ?, expires_ms = ?, version = ?, updated_ms = ?
     WHERE id = ?
"""

DELETE = "DELETE FROM link WHERE id = ?"

BY_ID = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms,
           version, created_ms, updated_ms
      FROM link WHERE id = ?
"""

BY_PLACE = "SELECT id FROM link WHERE host = ? AND path = ? AND id <> ?"

AFTER_ID = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms,
           version, created_ms, updated_ms
      FROM link WHERE id > ? ORDER BY id LIMIT ?
"""

COUNT = "SELECT count(*) FROM link"

REMEMBER = """
    INSERT INTO change (position, action, link, rule, at_ms, who)
    SELECT coalesce(max(position), 0) + 1, ?, ?, ?, ?, ? FROM change
"""

# Looks at the oldest rows only, however many there are.
PRUNE = """
    DELETE FROM change
     WHERE position <= (SELECT max(position) FROM change) - ?
       AND position IN (SELECT position
                          FROM (SELECT position, at_ms FROM change ORDER BY position LIMIT ?)
                         WHERE at_ms < ?)
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

    def place(self, position: Position) -> FeedPlace:
        """Return *position* as a place in this database's history."""
        return FeedPlace(self.fence.history, position)

    async def create(self, entry: Entry, who: str) -> None:
        """Add *entry*, or refuse because its host and path are taken."""

        def work(db: Connection) -> None:
            _refuse_taken(db, entry.link)
            db.execute(INSERT, _row(entry))
            _remember(db, "create", entry, entry.created_ms, who)

        try:
            await self._change(work)
        except sqlite.IntegrityError as error:  # the place was free, so it is the id
            msg = "the id drawn for the link is in use; ask again"
            raise UnavailableError(msg) from error

    async def revise(self, link_id: str, revise: Callable[[Entry], Entry], who: str) -> Entry:
        """Replace the link by what *revise* makes of it; what changes nothing leaves no trace."""

        def work(db: Connection) -> Entry:
            old = _required(db.execute(BY_ID, (link_id,)).fetchone(), link_id)
            new = revise(old)
            if new == old:
                return old
            _refuse_taken(db, new.link)
            db.execute(UPDATE, (*_row(new)[1:9], new.updated_ms, new.link.id))
            _remember(db, "update", new, new.updated_ms, who)
            return new

        return await self._change(work)

    async def delete(self, link_id: str, now: Millis, who: str) -> None:
        """Take the link away."""

        def work(db: Connection) -> None:
            old = _required(db.execute(BY_ID, (link_id,)).fetchone(), link_id)
            db.execute(DELETE, (old.link.id,))
            _remember(db, "delete", old, now, who)

        await self._change(work)

    async def all_at_once(self, work: Callable[[Connection], T]) -> T:
        """Do many changes in one transaction, and announce them once; see `Changing`."""
        try:
            return await self._change(work)
        except sqlite.IntegrityError as error:  # places are looked at before, so it is an id
            msg = "an id drawn for a link is in use; ask again"
            raise UnavailableError(msg) from error

    async def prune(self, before_ms: Millis, *, newest: int, at_once: int) -> int:
        """Forget up to *at_once* of the oldest changes, if they were made before that moment.

        Never one of the *newest*; return how many.
        """
        values = (max(newest, 1), at_once, before_ms)
        return await self._writer.transact(lambda db: db.execute(PRUNE, values).rowcount)

    async def get(self, link_id: str) -> Entry:
        """Return one link."""
        return _required(await self._readers.row(BY_ID, (link_id,)), link_id)

    async def entries_after(self, link_id: LinkId, limit: int) -> list[Entry]:
        """Return the links that follow *link_id* in the order of their ids."""
        return [_entry(row) for row in await self._readers.rows(AFTER_ID, (link_id, limit))]

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
                yield Position(position), [_entry(row).link for row in rows]
                after, more = rows[-1][0] if rows else after, len(rows) == links_max

    async def _change(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._writer.transact(work)
        finally:  # also when it failed: it may have happened, and looking costs little
            self._news.announce()


class Changing:
    """The links inside of one transaction, changed by *who*."""

    def __init__(self, db: Connection, who: str) -> None:
        self._db = db
        self._who = who

    def by_id(self, link_id: str) -> Entry | None:
        """Return the link with that id."""
        row = self._db.execute(BY_ID, (link_id,)).fetchone()
        return _entry(row) if row else None

    def by_place(self, host: str, path: str) -> Entry | None:
        """Return the link of that host and path."""
        row = self._db.execute(BY_PLACE, (host, path, "")).fetchone()
        return self.by_id(row[0]) if row else None

    def create(self, entry: Entry) -> None:
        """Add a link, or refuse because its place is taken."""
        _refuse_taken(self._db, entry.link)
        self._db.execute(INSERT, _row(entry))
        _remember(self._db, "create", entry, entry.created_ms, self._who)

    def update(self, entry: Entry) -> None:
        """Put *entry* in the place of the link with its id, or refuse as its place is taken."""
        _refuse_taken(self._db, entry.link)
        self._db.execute(UPDATE, (*_row(entry)[1:9], entry.updated_ms, entry.link.id))
        _remember(self._db, "update", entry, entry.updated_ms, self._who)

    def delete(self, entry: Entry, now: Millis) -> None:
        """Take a link away."""
        self._db.execute(DELETE, (entry.link.id,))
        _remember(self._db, "delete", entry, now, self._who)


def _refuse_taken(db: Connection, link: Link) -> None:
    taken = db.execute(BY_PLACE, (link.host, link.path, link.id)).fetchone()
    if taken:
        msg = f"path: {link.path} on host {link.host} is taken by the link {taken[0]}"
        raise ConflictError(msg)


def _remember(db: Connection, action: str, entry: Entry, at_ms: Millis, who: str) -> None:
    rule = orjson.dumps(entry.link.to_rule()).decode()
    db.execute(REMEMBER, (action, entry.link.id, rule, at_ms, who))


def _required(row: Any, link_id: str) -> Entry:
    if row is None:
        msg = f"no link has the id {link_id[:40]!r}"
        raise NotFoundError(msg)
    return _entry(row)


def _row(entry: Entry) -> tuple[str | int | None, ...]:
    link = entry.link
    place = (link.id, link.host, link.path, link.destination, link.status, int(link.enabled))
    more = (int(link.pass_query), link.expires_ms)
    return (*place, *more, entry.version, entry.created_ms, entry.updated_ms)


def _entry(row: Any) -> Entry:
    link_id, host, path, destination, status, enabled, pass_query, expires_ms = row[:8]
    version, created_ms, updated_ms = row[8:]
    link = Link(
        id=LinkId(link_id),
        host=host,
        path=path,
        destination=destination,
        status=status,
        enabled=bool(enabled),
        pass_query=bool(pass_query),
        expires_ms=expires_ms,
    )
    return Entry(link=link, version=version, created_ms=created_ms, updated_ms=updated_ms)
