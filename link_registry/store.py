"""The SQL of the registry: links, and the change that each transaction leaves behind.

A change of what edges need goes into the feed; every change goes into the history.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from link_registry.entries import Entry, differences
from link_registry.news import News
from link_registry.own_hosts import canonical, leads_to, spellings
from link_registry.policy import NOT_OURS, destinations
from milepost import sqlite
from milepost.clock import Entropy
from milepost.database import Readers, Writer, open_database
from milepost.errors import ConflictError, FieldError, NotFoundError, UnavailableError
from milepost.links import ANY_HOST, FeedPlace, Link
from milepost.sqlite import Connection
from milepost.targeting.rules import rules_in, text_of
from milepost.vocabulary import LinkId, Millis, Position

T = TypeVar("T")

HISTORY_BYTES = 16
READERS = 4

HISTORY = "SELECT history FROM meta"

BEGIN_HISTORY = "INSERT INTO meta (history) VALUES (?)"

COLUMNS = """
    id, host, path, destination, status, enabled, pass_query, expires_ms, version, created_ms,
    updated_ms, rules, tags, note, click_limit, clicks
"""

INSERT = """
    INSERT INTO link (id, host, path, destination, status, enabled, pass_query, expires_ms,
                      version, created_ms, updated_ms, rules, leads_to, tags, note,
                      click_limit)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

UPDATE = """
    UPDATE link
       SET host = ?, path = ?, destination = ?, status = ?, enabled = ?,
           pass_query = ?, expires_ms = ?, version = ?, created_ms = ?, updated_ms = ?,
           rules = ?, leads_to = ?, tags = ?, note = ?, click_limit = ?
     WHERE id = ?
"""

DELETE = "DELETE FROM link WHERE id = ?"

BY_ID = f"SELECT {COLUMNS} FROM link WHERE id = ?"

BY_PLACE = "SELECT id FROM link WHERE host = ? AND path = ? AND id <> ?"

PATH_IN_USE = "SELECT 1 FROM link WHERE path = ? AND (host IN (?, '*') OR ? = '*') LIMIT 1"

HOST_IN_USE = "SELECT 1 FROM link WHERE host IN (?, ?, ?) LIMIT 1"

LEADS_THERE = """
    SELECT id FROM link
     WHERE (leads_to = ?1 OR (leads_to > ?1 || ':' AND leads_to < ?1 || ';')) AND id <> ?2
     LIMIT 1
"""

AFTER_ID = f"SELECT {COLUMNS} FROM link WHERE id > ? ORDER BY id LIMIT ?"

COUNT = "SELECT count(*) FROM link"

REMEMBER = """
    INSERT INTO change (position, action, link, rule, at_ms, who)
    SELECT coalesce(max(position), 0) + 1, ?, ?, ?, ?, ? FROM change
"""

NOTE_DOWN = """
    INSERT INTO history (link, version, action, at_ms, who, fields) VALUES (?, ?, ?, ?, ?, ?)
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

    def __init__(self, writer: Writer, readers: Readers, history: str, news: News) -> None:
        self._writer = writer
        self._readers = readers
        self._history = history
        self._news = news

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, path: Path, entropy: Entropy, news: News, *, checkpoints: bool
    ) -> AsyncIterator[Self]:
        """Lend the store in *path*, made if it is not there.  Changes are announced by *news*."""
        async with contextlib.AsyncExitStack() as stack:
            writer = Writer(open_database(path, "links"), checkpoints=checkpoints)
            stack.push_async_callback(writer.close)
            history = await writer.transact(lambda db: _history(db, entropy))
            readers = await Readers.open(path, READERS)
            stack.push_async_callback(readers.close)
            yield cls(writer, readers, history, news)

    @property
    def readers(self) -> Readers:
        """Return the connections that others may read from."""
        return self._readers

    def place(self, position: Position) -> FeedPlace:
        """Return *position* as a place in this database's history."""
        return FeedPlace(self._history, position)

    async def create(self, entry: Entry, who: str) -> None:
        """Add *entry*, or refuse because its host and path are taken."""

        def work(db: Connection) -> None:
            add_link(db, entry, who)

        await self._insert(work)

    async def create_free(self, entries: Iterable[Entry], who: str) -> Entry:
        """Add the first of *entries* whose path nobody uses where it would be seen."""

        def work(db: Connection) -> Entry:
            for entry in entries:
                if not path_in_use(db, entry.link):
                    add_link(db, entry, who)
                    return entry
            msg = "every path that was drawn is taken; ask again, or name a path"
            raise UnavailableError(msg)

        return await self._insert(work)

    async def _insert(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._change(work)
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
            replace_link(db, old, new, who)
            return new

        return await self._change(work)

    async def delete(
        self, link_id: str, now: Millis, who: str, check: Callable[[Entry], None] | None = None
    ) -> None:
        """Take the link away, unless *check* refuses what is there."""

        def work(db: Connection) -> None:
            old = _required(db.execute(BY_ID, (link_id,)).fetchone(), link_id)
            if check is not None:
                check(old)
            remove_link(db, old, now, who)

        await self._change(work)

    async def get(self, link_id: str) -> Entry:
        """Return one link."""
        return _required(await self._readers.row(BY_ID, (link_id,)), link_id)

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
                yield Position(position), [entry_of(row).link for row in rows]
                after, more = rows[-1][0] if rows else after, len(rows) == links_max

    async def change(self, work: Callable[[Connection], T]) -> T:
        """Run *work* of another store in one transaction; the feed looks for what it changed."""
        return await self._change(work)

    async def _change(self, work: Callable[[Connection], T]) -> T:
        try:
            return await self._writer.transact(work)
        finally:  # also when it failed: it may have happened, and looking costs little
            self._news.announce()


def add_link(db: Connection, entry: Entry, who: str) -> None:
    """Add *entry* and tell the feed, or refuse because of where it is, or of where it leads."""
    _refuse_taken(db, entry.link)
    _refuse_circles(db, entry.link)
    db.execute(INSERT, _row(entry))
    _remember(db, None, entry, entry.created_ms, who)


def replace_link(db: Connection, old: Entry, new: Entry, who: str) -> None:
    """Put *new* in the place of *old* and tell the feed, or refuse as above."""
    if _place(new.link) != _place(old.link):
        _refuse_taken(db, new.link)
    # What was allowed once stays as it is until somebody touches it.
    if _leads(new.link) != _leads(old.link):
        _refuse_circles(db, new.link)
    db.execute(UPDATE, (*_row(new)[1:], new.link.id))
    _remember(db, old, new, new.updated_ms, who)


def remove_link(db: Connection, old: Entry, now: Millis, who: str) -> None:
    """Take *old* away and tell the feed."""
    db.execute(DELETE, (old.link.id,))
    _remember(db, old, None, now, who)


def path_in_use(db: Connection, link: Link) -> bool:
    """Tell whether somebody uses the path of *link* where it would be seen."""
    return db.execute(PATH_IN_USE, (link.path, link.host, link.host)).fetchone() is not None


def link_with_id(db: Connection, link_id: str) -> Entry | None:
    """Return the link, if it is there."""
    row = db.execute(BY_ID, (link_id,)).fetchone()
    return entry_of(row) if row else None


def link_at(db: Connection, host: str, path: str) -> Entry | None:
    """Return the link of exactly this host and path, if there is one."""
    row = db.execute(BY_PLACE, (host, path, "")).fetchone()
    return link_with_id(db, row[0]) if row else None


def _history(db: Connection, entropy: Entropy) -> str:
    row = db.execute(HISTORY).fetchone()
    if row is None:
        row = (entropy(HISTORY_BYTES).hex(),)
        db.execute(BEGIN_HISTORY, row)
    return str(row[0])


def _refuse_taken(db: Connection, link: Link) -> None:
    taken = db.execute(BY_PLACE, (link.host, link.path, link.id)).fetchone()
    if taken:
        msg = f"path: {link.path} on host {link.host} is taken by the link {taken[0]}"
        raise ConflictError(msg)


def _refuse_circles(db: Connection, link: Link) -> None:
    """Refuse a link that leads to a host of links, or is of a host that links lead to."""
    hosts: dict[str, str] = {}
    for field, to in destinations(link):
        hosts.setdefault(leads_to(to), field)
    hosts.pop("", None)  # what is not of the web
    for name, field in hosts.items():
        ours = spellings(name)
        if link.host in ours or db.execute(HOST_IN_USE, (ours[0], ours[1], ours[-1])).fetchone():
            raise FieldError(field=field, accepted=NOT_OURS, got="a host that links are on")
    if link.host == ANY_HOST:
        return
    there = db.execute(LEADS_THERE, (canonical(link.host), link.id)).fetchone()
    if there:
        msg = f"host: the link {there[0]} leads to {link.host}, and would lead back to this service"
        raise ConflictError(msg)


def _place(link: Link) -> tuple[str, str]:
    return link.host, link.path


def _leads(link: Link) -> tuple[str, tuple[tuple[str, str], ...]]:
    return link.host, tuple(destinations(link))


def _remember(
    db: Connection, old: Entry | None, new: Entry | None, at_ms: Millis, who: str
) -> None:
    """Keep that *old* became *new*; None is a link that is not there."""
    entry = new or old
    if entry is None:
        return
    action = "create" if old is None else "delete" if new is None else "update"
    if old is None or new is None or old.link != new.link:
        rule = orjson.dumps(entry.link.to_rule()).decode()
        db.execute(REMEMBER, (action, entry.link.id, rule, at_ms, who))
    version = entry.version if new else entry.version + 1
    fields = orjson.dumps(differences(old, new)).decode()
    db.execute(NOTE_DOWN, (entry.link.id, version, action, at_ms, who, fields))


def _required(row: Any, link_id: str) -> Entry:
    if row is None:
        msg = f"no link has the id {link_id[:40]!r}"
        raise NotFoundError(msg)
    return entry_of(row)


def _row(entry: Entry) -> tuple[str | int | None, ...]:
    link = entry.link
    place = (link.id, link.host, link.path, link.destination, link.status, int(link.enabled))
    more = (int(link.pass_query), link.expires_ms)
    kept = (entry.version, entry.created_ms, entry.updated_ms)
    written = (orjson.dumps(entry.tags).decode(), entry.note, entry.click_limit)
    return (*place, *more, *kept, text_of(link.rules), leads_to(link.destination), *written)


def entry_of(row: Any) -> Entry:
    """Return a row of `COLUMNS` as an entry."""
    link_id, host, path, destination, status, enabled, pass_query, expires_ms = row[:8]
    version, created_ms, updated_ms, rules, tags, note, click_limit, clicks = row[8:]
    link = Link(
        id=LinkId(link_id),
        host=host,
        path=path,
        destination=destination,
        status=status,
        enabled=bool(enabled),
        pass_query=bool(pass_query),
        expires_ms=expires_ms,
        rules=rules_in(rules),
    )
    return Entry(
        link=link,
        version=version,
        created_ms=created_ms,
        updated_ms=updated_ms,
        tags=tuple(orjson.loads(tags)),
        note=note,
        click_limit=click_limit,
        clicks=clicks,
    )
