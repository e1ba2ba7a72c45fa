"""keys.db: the identity and the epochs, as rows.

Knows nothing of what is inside a wrapped value.  `secure_delete` is on, so that
what is destroyed leaves no bytes in the file.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from key_server.periods import Span
from milepost.audit import BEFORE_THE_FIRST, AuditRow, next_audit_chain
from milepost.database import Readers, Writer, open_database
from milepost.epochs import PublicEpoch
from milepost.sqlite import Connection, OperationalError
from milepost.vocabulary import Epoch, Millis

Note = tuple[str, str, Epoch, int]  # who, what, epoch, how many

FILE = "keys.db"
SCHEMA = "keys"
READERS = 2

SECURE_DELETE = "PRAGMA secure_delete=ON"

# What a process that was killed left in the WAL may be what has been destroyed since.
FORGET_THE_WAL = "PRAGMA wal_checkpoint(TRUNCATE)"

FOUND = """
    INSERT INTO meta (one, identity, seed, master_check, list_version, trail_number, trail_chain)
    VALUES (1, ?, ?, ?, 0, 0, zeroblob(32))
"""

IDENTITY = "SELECT identity, seed, master_check FROM meta"

VERSION = "SELECT list_version FROM meta"

RAISE_VERSION = "UPDATE meta SET list_version = max(list_version + 1, ?)"

ADD = """
    INSERT INTO epoch (number, start_ms, end_ms, record_key, address_key,
                       record_secret, address_secret, salt)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

NEWEST = """
    SELECT number, start_ms, end_ms, record_key, address_key, salt_gone_ms, record_gone_ms
      FROM epoch
     ORDER BY number DESC
     LIMIT ?
"""

FIND_OPENABLE = """
    SELECT number, start_ms, end_ms, record_key, address_key, record_secret
      FROM epoch
     WHERE number = ? AND record_secret IS NOT NULL
"""

SET_SPAN = "UPDATE epoch SET start_ms = ?, end_ms = ? WHERE number = ?"

LAST_NOTE = "SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1"

TRAIL_BEGINS = "SELECT trail_number, trail_chain FROM meta"

NOTE = """
    INSERT INTO audit (number, at_ms, who, what, epoch, count, chain) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

NOTES = """
    SELECT number, at_ms, who, what, epoch, count, chain
      FROM audit
     WHERE number > ?
     ORDER BY number
     LIMIT ?
"""

SALT = "SELECT salt FROM epoch WHERE number = ? AND salt IS NOT NULL"

ADDRESS_SECRETS = """
    SELECT number, start_ms, end_ms, record_key, address_key, address_secret, salt
      FROM epoch
     WHERE number = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the key server is: the public key, its wrapped seed, and the master key's check."""

    public: bytes
    seed: bytes
    check: bytes


@dataclass(frozen=True, slots=True)
class HeldEpoch:
    """An epoch as everybody may know it, and what of it has been destroyed, and when."""

    public: PublicEpoch
    salt_gone_ms: Millis | None  # its salt and its address key
    record_gone_ms: Millis | None  # its record key

    @property
    def span(self) -> Span:
        """Return when it is."""
        return Span(self.public.number, self.public.start_ms, self.public.end_ms)

    @property
    def touched(self) -> bool:
        """Tell whether any of its secrets has been destroyed."""
        return self.salt_gone_ms is not None or self.record_gone_ms is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEpoch:
    """An epoch as it is stored: what everybody may know, and its wrapped secrets."""

    public: PublicEpoch
    record_secret: bytes
    address_secret: bytes
    salt: bytes


class KeyStore:
    """The rows of keys.db."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    @property
    def writer(self) -> Writer:
        """Return the one writer, for the stores of this service that hold other rows."""
        return self._writer

    @property
    def readers(self) -> Readers:
        """Return the readers, likewise."""
        return self._readers

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: Path) -> AsyncIterator[Self]:
        """Open *path*, making it if it is missing, and close it afterwards."""
        connection = open_database(path, SCHEMA)
        connection.execute(SECURE_DELETE)
        with contextlib.suppress(OperationalError):  # a full disk: another time
            connection.execute(FORGET_THE_WAL)
        async with contextlib.AsyncExitStack() as stack:
            writer = Writer(connection, checkpoints=True)
            stack.push_async_callback(writer.close)
            readers = await Readers.open(path, READERS)
            stack.push_async_callback(readers.close)
            yield cls(writer, readers)

    async def identity(self) -> Identity | None:
        """Return who this is, or None before `init`."""
        row = await self._readers.row(IDENTITY)
        return None if row is None else Identity(public=row[0], seed=row[1], check=row[2])

    async def found(self, identity: Identity) -> None:
        """Write down, once, who this is."""

        def work(db: Connection) -> None:
            db.execute(FOUND, (identity.public, identity.seed, identity.check))

        await self._writer.transact(work)

    async def add(self, epochs: Sequence[NewEpoch], now: Millis) -> None:
        """Add *epochs* and raise the list's version, which never names two contents."""

        def work(db: Connection) -> None:
            db.executemany(ADD, map(_new_row, epochs))
            db.execute(RAISE_VERSION, (now,))

        await self._writer.transact(work)

    async def rotate(
        self, moved: Sequence[Span], new: Sequence[NewEpoch], who: str, now: Millis
    ) -> None:
        """Give the epochs in *moved* these spans and add *new*, noted as *who*'s doing."""

        def work(db: Connection) -> None:
            for span in moved:
                db.execute(SET_SPAN, (span.start_ms, span.end_ms, span.number))
            db.executemany(ADD, map(_new_row, new))
            db.execute(RAISE_VERSION, (now,))
            add_notes(db, [(who, "rotate", moved[0].number, 1)], now)

        await self._writer.transact(work)

    async def note(self, notes: Sequence[Note], now: Millis) -> None:
        """Add *notes* to the audit trail."""
        await self._writer.transact(lambda db: add_notes(db, notes, now))

    async def notes(self, after: int, count_max: int) -> tuple[AuditRow, ...]:
        """Return the trail's rows behind number *after*."""
        rows = await self._readers.rows(NOTES, (after, count_max))
        return tuple(
            AuditRow(
                number=row[0],
                at_ms=Millis(row[1]),
                who=row[2],
                what=row[3],
                epoch=Epoch(row[4]),
                count=row[5],
                chain=row[6],
            )
            for row in rows
        )

    async def trail_begins(self) -> tuple[int, bytes]:
        """Return the number and chain of the row behind which the trail goes on."""
        row = await self._readers.row(TRAIL_BEGINS)
        return (0, BEFORE_THE_FIRST) if row is None else (row[0], row[1])

    async def newest(self, count_max: int) -> tuple[Millis, tuple[HeldEpoch, ...]]:
        """Return the list's version and the newest epochs, in order."""
        async with self._readers.snapshot() as db:
            versions = list(await db.execute_fetchall(VERSION))
            rows = list(await db.execute_fetchall(NEWEST, (count_max,)))
        return Millis(versions[0][0]), tuple(map(_held, reversed(rows)))

    async def record_secret(self, number: int) -> tuple[PublicEpoch, bytes] | None:
        """Return an epoch and its wrapped record secret, unless unknown or destroyed."""
        row = await self._readers.row(FIND_OPENABLE, (number,))
        return None if row is None else (_public(row), row[5])

    async def salt(self, number: Epoch) -> bytes | None:
        """Return an epoch's wrapped salt, unless unknown or destroyed."""
        row = await self._readers.row(SALT, (number,))
        return None if row is None else bytes(row[0])

    async def address_secrets(
        self, number: Epoch
    ) -> tuple[PublicEpoch, bytes | None, bytes | None] | None:
        """Return an epoch, its wrapped address secret and salt: None where destroyed."""
        row = await self._readers.row(ADDRESS_SECRETS, (number,))
        return None if row is None else (_public(row), row[5], row[6])


def _public(row: Any) -> PublicEpoch:
    return PublicEpoch(
        number=Epoch(row[0]),
        start_ms=Millis(row[1]),
        end_ms=Millis(row[2]),
        record_key=row[3],
        address_key=row[4],
    )


def _held(row: Any) -> HeldEpoch:
    return HeldEpoch(_public(row), salt_gone_ms=row[5], record_gone_ms=row[6])


def add_notes(db: Connection, notes: Sequence[Note], now: Millis) -> None:
    """Add *notes* to the audit trail, inside a transaction."""
    last = db.execute(LAST_NOTE).fetchone() or db.execute(TRAIL_BEGINS).fetchone()
    number, chain = last or (0, BEFORE_THE_FIRST)
    for note in notes:
        number += 1
        fields = (number, now, *note)
        chain = next_audit_chain(chain, fields)
        db.execute(NOTE, (*fields, chain))


def _new_row(epoch: NewEpoch) -> tuple[Any, ...]:
    public = epoch.public
    return (
        public.number,
        public.start_ms,
        public.end_ms,
        public.record_key,
        public.address_key,
        epoch.record_secret,
        epoch.address_secret,
        epoch.salt,
    )
