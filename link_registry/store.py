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

POSITION = "SELECT coalesce(max(position), 0) FROM change"

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
