"""The SQL of the replica: links, and the place in the feed that they are true for.

Both move in one transaction, so whatever is on disk is some moment of the
registry, whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from milepost import sqlite
from milepost.database import Writer, open_database
from milepost.errors import DamagedError
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from milepost.schema import create, load_schema
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId, Position
from regional_logger.links.news import Change

log = get_log(__name__)

DAMAGED = ".damaged"

CHECK = "PRAGMA quick_check(1)"

PLACE = "SELECT history, position FROM feed"

FORGET_PLACE = "DELETE FROM feed"

SET_PLACE = "INSERT INTO feed (history, position) VALUES (?, ?)"

LINKS = "SELECT id, host, path, destination, status, enabled FROM link"

FORGET_LINKS = "DELETE FROM link"

PUT = """
    INSERT OR REPLACE INTO link (id, host, path, destination, status, enabled)
    VALUES (?, ?, ?, ?, ?, ?)
"""

REMOVE = "DELETE FROM link WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Replica:
    """What is on disk; without a place, no snapshot has arrived yet."""

    place: FeedPlace | None
    links: tuple[Link, ...]


class ReplicaStore:
    """The edge's own copy of the links."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the replica in *path*, which is made if it is not there.

        It is a copy, and the visitor comes first: a damaged one is moved aside,
        and on a disk that fails it is kept in memory.  The feed fills it again.
        """
        try:
            connection = _open_or_begin_anew(path)
        except (sqlite.Error, OSError) as error:
            log.warning("replica.not_kept", reason=str(error))
            connection = sqlite.connect(Path(":memory:"))
            create(connection, load_schema("replica"))
        return cls(Writer(connection, checkpoints=True))

    async def close(self) -> None:
        """Finish what runs, then close."""
        await self._writer.close()

    async def load(self) -> Replica:
        """Return everything."""
        return await self._writer.transact(_read)

    async def replace(self, place: FeedPlace, links: Iterable[Link]) -> None:
        """Hold *links* and nothing else, as of *place*."""

        def work(db: Connection) -> None:
            db.execute(FORGET_LINKS)
            db.executemany(PUT, map(_row, links))
            _move(db, place)

        await self._writer.transact(work)

    async def apply(self, change: Change) -> None:
        """Do what *change* says and move to its place.  Safe to repeat."""

        def work(db: Connection) -> None:
            if change.put is not None:
                db.execute(PUT, _row(change.put))
            if change.remove is not None:
                db.execute(REMOVE, (change.remove,))
            _move(db, change.place)

        await self._writer.transact(work)


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


def _read(db: Connection) -> Replica:
    row = db.execute(PLACE).fetchone()
    place = FeedPlace(row[0], Position(row[1])) if row else None
    return Replica(place, tuple(map(_link, db.execute(LINKS))))


def _move(db: Connection, place: FeedPlace) -> None:
    db.execute(FORGET_PLACE)
    db.execute(SET_PLACE, (place.history, place.position))


def _row(link: Link) -> tuple[str | int, ...]:
    return link.id, link.host, link.path, link.destination, link.status, int(link.enabled)


def _link(row: tuple[str, str, str, str, int, int]) -> Link:
    link_id, host, path, destination, status, enabled = row
    return Link(
        id=LinkId(link_id),
        host=host,
        path=path,
        destination=destination,
        status=status,
        enabled=bool(enabled),
    )
