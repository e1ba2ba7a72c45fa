"""One stream file, opened for reading: on a stopped edge, a running one, or a copy.

Nothing is changed, made or checkpointed in the file.  A stream is never
migrated, so every version that was ever released is read, and one from the
future is refused with a sentence.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from milepost import sqlite
from milepost.batch import Batch, Tally, first_chain, parse_tally
from milepost.errors import RejectedError, ServiceError
from milepost.schema import load_schema, read_header
from milepost.stream import store
from milepost.stream.files import is_open, is_unborn, wal_of
from milepost.stream.store import About
from milepost.vocabulary import BatchId, Epoch, Seq
from milepost.wire import Cursor

PAGE_BATCHES = 200
UNREADABLE = (sqlite.Error, ServiceError, OSError)


@dataclass(frozen=True, slots=True)
class Summary:
    """How much a stream holds."""

    batches: int
    last_seq: int
    records: int
    first_ms: int | None
    last_ms: int | None


def require_stream(path: Path) -> None:
    """Refuse *path*, with a sentence, unless it is a stream that this program can read."""
    schema = load_schema("stream")
    header = read_header(path)
    if header is None and is_unborn(path):
        msg = "it is empty: its writer died before it began, or the file was cut off"
    elif header is None:
        msg = "it is not a stream: it does not begin like a database"
    elif header.application_id != schema.application_id:
        msg = "it is a database, and not a stream"
    elif header.version > schema.version:
        msg = (
            f"it is a stream of version {header.version}, newer than this program's "
            f"{schema.version}: read it with the newer program"
        )
    else:
        return
    raise RejectedError(msg)


class StreamFile:
    """A stream as it is on disk at this moment."""

    def __init__(self, path: Path, connection: sqlite.Connection, about: About) -> None:
        self.path = path
        self.about = about
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Lend the stream at *path*; RejectedError says in a sentence why it cannot be read."""
        require_stream(path)
        wal = wal_of(path)
        has_wal = wal.exists() and wal.stat().st_size > 0
        # Without a WAL there is nothing to share with a writer, if there is no writer.
        connection = sqlite.connect_read_only(path, immutable=not has_wal and not is_open(path))
        with contextlib.closing(connection):
            yield cls(path, connection, _about(connection, has_wal=has_wal))

    def summary(self) -> Summary:
        """Return how much there is."""
        return Summary(*self._connection.execute(store.SUMMARY).fetchone())

    def end(self) -> Cursor:
        """Return the place behind its last batch."""
        row = self._connection.execute(store.HEAD).fetchone()
        return (
            Cursor(Seq(0), first_chain(self.about.stream)) if row is None else store.end_from(row)
        )

    def holds(self, at: Cursor) -> bool:
        """Tell whether *at* is a place in its history."""
        if at.seq == 0:
            return at.chain == first_chain(self.about.stream)
        row = self._connection.execute(store.CHAIN_AT, (at.seq,)).fetchone()
        return row is not None and row[0] == at.chain

    def epochs(self) -> list[Epoch]:
        """Return the epochs that its records are sealed to."""
        return [Epoch(epoch) for (epoch,) in self._connection.execute(store.EPOCHS)]

    def tallies(self) -> Iterator[tuple[BatchId, Tally]]:
        """Give every batch's tally."""
        for batch, tally in self._connection.execute(store.TALLIES):
            yield BatchId(batch), parse_tally(tally)

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Give the batches behind *after*, a page at a time: no read lasts long."""
        while page := self._page(after):
            yield from page
            after = page[-1].header.seq

    def damage(self) -> list[str]:
        """Return what SQLite itself finds wrong with the file."""
        found = [str(row[0]) for row in self._connection.execute(store.INTEGRITY)]
        return [] if found == ["ok"] else found

    def _page(self, after: int) -> list[Batch]:
        rows = self._connection.execute(store.BATCHES_AFTER, (Seq(after), PAGE_BATCHES))
        return store.batches_from(self.about.stream, rows)


def _about(connection: sqlite.Connection, *, has_wal: bool) -> About:
    try:
        row: Any = connection.execute(store.STREAM).fetchone()
    except sqlite.OperationalError as error:
        if not has_wal or "unable to open" not in str(error):
            raise
        msg = (
            "its WAL cannot be read where it is: copy the file and those beside it "
            "to a folder that may be written to, and name the copy"
        )
        raise RejectedError(msg) from error
    if row is None:
        msg = "it is empty: its writer died before it began, or the file was cut off"
        raise RejectedError(msg)
    return About.from_row(row)
