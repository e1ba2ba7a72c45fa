"""The SQL of the replica: links, and the place in the feed that they are true for.

Both move in one transaction, so whatever is on disk is some moment of the
registry, whole.  A snapshot arrives part by part beside the links, and takes
their place when its last part is there: it is never in memory as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from milepost import sqlite
from milepost.database import Writer, open_database
from milepost.errors import DamagedError
from milepost.finding.places import Place
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from milepost.schema import create, load_schema
from milepost.sqlite import Connection
from milepost.targeting.rules import rules_in, text_of
from milepost.vocabulary import LinkId, Position
from regional_logger.links.news import Change
from regional_logger.links.table import Outline

log = get_log(__name__)

DAMAGED = ".damaged"
ROWS_AT_ONCE = 500

CHECK = "PRAGMA quick_check(1)"

PLACE = "SELECT history, position FROM feed"

FORGET_PLACE = "DELETE FROM feed"

SET_PLACE = "INSERT INTO feed (history, position) VALUES (?, ?)"

LINKS = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules FROM link
"""

LITERALS = "SELECT count(*) FROM link WHERE enabled AND substr(path, -1) <> '*'"

HOSTS = "SELECT host, count(*) FROM link GROUP BY host"

LITERAL_PLACES = "SELECT host, path FROM link WHERE enabled AND substr(path, -1) <> '*'"

PATTERNS = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules
      FROM link WHERE enabled AND substr(path, -1) = '*'
"""

AFTER_PLACE = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules
      FROM link WHERE (host, path) > (?, ?) ORDER BY host, path LIMIT ?
"""

AT_PLACES = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules
      FROM link WHERE host IN (?, ?, ?) AND path IN (?, ?)
"""

IN_THE_WAY = """
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules
      FROM link WHERE id = ? OR (host = ? AND path = ?)
"""

PUT = """
    INSERT OR REPLACE INTO link
           (id, host, path, destination, status, enabled, pass_query, expires_ms, rules)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

REMOVE = "DELETE FROM link WHERE id = ?"

FORGET_ARRIVING = "DELETE FROM arriving"

ARRIVE = """
    INSERT OR REPLACE INTO arriving
           (id, host, path, destination, status, enabled, pass_query, expires_ms, rules)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

FORGET_LINKS = "DELETE FROM link"

TAKE_ARRIVED = """
    INSERT INTO link (id, host, path, destination, status, enabled, pass_query, expires_ms, rules)
    SELECT id, host, path, destination, status, enabled, pass_query, expires_ms, rules FROM arriving
"""


class ReplicaStore:
    """The edge's own copy of the links, for the one who writes it."""

    def __init__(self, writer: Writer, path: Path | None) -> None:
        self._writer = writer
        self.path = path  # None: the disk failed, and it is in this process's memory alone

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the replica in *path*, which is made if it is not there.

        It is a copy, and the visitor comes first: a damaged one is moved aside,
        and on a disk that fails it is kept in memory.  The feed fills it again.
        """
        kept: Path | None = path
        try:
            connection = _open_or_begin_anew(path)
        except (sqlite.Error, OSError) as error:
            log.warning("replica.not_kept", reason=str(error))
            connection, kept = sqlite.connect(Path(":memory:")), None
            create(connection, load_schema("replica"))
        return cls(Writer(connection, checkpoints=True), kept)

    async def close(self) -> None:
        """Finish what runs, then close."""
        await self._writer.close()

    async def place(self) -> FeedPlace | None:
        """Return the place that the links are true for; None before the first snapshot."""
        return await self._writer.transact(_place)

    async def links(self) -> list[Link]:
        """Return every link."""
        return await self._writer.transact(lambda db: list(map(_link, db.execute(LINKS))))

    async def arrive(self, links: Sequence[Link], *, first: bool) -> None:
        """Put a part of a snapshot aside; with its *first* one, what came earlier is forgotten."""

        def work(db: Connection) -> None:
            if first:
                db.execute(FORGET_ARRIVING)
            db.executemany(ARRIVE, map(_row, links))

        await self._writer.transact(work)

    async def take_arrived(self, place: FeedPlace) -> None:
        """Hold what has arrived and nothing else, as of *place*."""

        def work(db: Connection) -> None:
            db.execute(FORGET_LINKS)
            db.execute(TAKE_ARRIVED)
            db.execute(FORGET_ARRIVING)
            _move(db, place)

        await self._writer.transact(work)

    async def apply(self, *changes: Change) -> list[tuple[Link, ...]]:
        """Do what *changes* say, in order, and move to the place of the last.

        Return the links that each did away with.  Safe to repeat.
        """

        def work(db: Connection) -> list[tuple[Link, ...]]:
            gone = [_apply(db, change) for change in changes]
            _move(db, changes[-1].place)
            return gone

        return await self._writer.transact(work)


class ReplicaReader:
    """One connection that reads the replica in *path*, made when it is first needed.

    For one thread at a time.  After an error it begins anew: the file may be another.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def at(self, names: Sequence[str], paths: Sequence[str]) -> dict[Place, Link]:
        """Return the literal links at *paths* of the hosts *names*: at most two, and three."""
        asked = (*_padded(names, 3), *_padded(paths, 2))
        found = map(_link, self._rows(AT_PLACES, asked))
        return {
            (link.host, link.path): link for link in found if link.enabled and not link.is_pattern
        }

    def after(self, place: Place) -> list[Link]:
        """Return some of the links that follow *place*; none: there are no more."""
        return list(map(_link, self._rows(AFTER_PLACE, (*place, ROWS_AT_ONCE))))

    def outline(self, key: bytes) -> tuple[FeedPlace | None, Outline]:
        """Return what there is to know of all links at one moment, and its place in the feed."""
        db = self._open()
        try:
            db.execute("BEGIN")
            (literals,) = db.execute(LITERALS).fetchone()
            outline = Outline(key, literals)
            for host, path in db.execute(LITERAL_PLACES):
                outline.gatekeeper.add(host, path)
            for host, count in db.execute(HOSTS):
                outline.count(host, count)
            for row in db.execute(PATTERNS):
                outline.patterns.put(_link(row))
            place = _place(db)
            db.execute("ROLLBACK")
        except BaseException:
            self.close()
            raise
        return place, outline

    def _rows(self, sql: str, values: Iterable[Any]) -> list[Any]:
        try:
            return self._open().execute(sql, tuple(values)).fetchall()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = sqlite.connect_read_only(self._path)
        return self._connection


def _open_or_begin_anew(path: Path) -> Connection:
    try:
        connection = open_database(path, "replica")
        (health,) = connection.execute(CHECK).fetchone()
        if health == "ok":
            return connection
        connection.close()
    except DamagedError as error:
        health = str(error)
    log.warning("replica.damaged", reason=health, moved_to=f"{path.name}{DAMAGED}")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.replace(path.with_name(path.name + DAMAGED))
    return open_database(path, "replica")


def _padded(values: Sequence[str], count: int) -> Iterator[str]:
    """Give *values*, the last one again until there are *count*."""
    return (values[min(at, len(values) - 1)] for at in range(count))


def _apply(db: Connection, change: Change) -> tuple[Link, ...]:
    gone: tuple[Link, ...] = ()
    if change.put is not None:
        put = change.put
        gone = tuple(map(_link, db.execute(IN_THE_WAY, (put.id, put.host, put.path))))
        db.execute(PUT, _row(put))
    if change.remove is not None:
        gone = tuple(map(_link, db.execute(IN_THE_WAY, (change.remove, "", ""))))
        db.execute(REMOVE, (change.remove,))
    return gone


def _place(db: Connection) -> FeedPlace | None:
    row = db.execute(PLACE).fetchone()
    return FeedPlace(row[0], Position(row[1])) if row else None


def _move(db: Connection, place: FeedPlace) -> None:
    db.execute(FORGET_PLACE)
    db.execute(SET_PLACE, (place.history, place.position))


def _row(link: Link) -> tuple[str | int | None, ...]:
    return (
        *(link.id, link.host, link.path, link.destination, link.status),
        *(int(link.enabled), int(link.pass_query), link.expires_ms, text_of(link.rules)),
    )


def _link(row: Any) -> Link:
    link_id, host, path, destination, status, enabled, pass_query, expires_ms, rules = row
    return Link(
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
