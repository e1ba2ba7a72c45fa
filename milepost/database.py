"""A database as a service sees it: one writer, several readers.

A transaction is a function that gets the connection: it cannot be left open and
cannot interleave with another.  Reading goes through aiosqlite on connections
that can do nothing else.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

import aiosqlite

from milepost import sqlite
from milepost.errors import DamagedError, TooBroadError, UnavailableError
from milepost.schema import (
    Schema,
    create,
    inspect,
    load_migrations,
    load_schema,
    migrate,
    require_known_version,
)

T = TypeVar("T")

# Where no litestream holds the database its one writer checkpoints, whenever a commit leaves
# so many pages (64 MB) in the WAL: few enough to be moved while others wait.
CHECKPOINT_PAGES = 16_000

# How often SQLite looks at the time: after some tenths of a millisecond of work.
STEPS_BETWEEN_LOOKS = 20_000
WAIT_SECONDS = 10.0  # for others' questions to end, before one's own begins


def open_database(path: Path, name: str) -> sqlite.Connection:
    """Open the database *path* of schema *name* for writing; create or migrate it first.

    Refuses what is no such database, comes from a newer program, or is damaged,
    and then leaves the file as it was.
    """
    schema = load_schema(name)
    exists = inspect(path, schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not exists:
        path.touch(mode=0o600)
    try:
        if exists:
            _look_before_writing(path, schema)
        connection = sqlite.connect(path)
        try:
            _shape(connection, schema, exists=exists)
        except BaseException:
            connection.close()
            raise
    except sqlite.DamageError as error:
        if isinstance(error, sqlite.OperationalError):
            raise  # the disk's trouble, not the file's
        msg = f"{path} is damaged ({error}); restore it, or move it away"
        raise DamagedError(msg) from error
    return connection


def _look_before_writing(path: Path, schema: Schema) -> None:
    """Judge what is in the WAL as well, on a connection that changes nothing."""
    looking = sqlite.connect_read_only(path)
    try:
        require_known_version(looking, schema)
        looking.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    finally:
        looking.close()


def _shape(connection: sqlite.Connection, schema: Schema, *, exists: bool) -> None:
    if exists:
        connection.execute("PRAGMA journal_mode=WAL")
        migrate(connection, schema, load_migrations(schema.name))
        return
    # The shape is written before the WAL exists, so that the file's own header
    # tells what it is for as long as it lives.
    create(connection, schema)
    connection.execute("PRAGMA journal_mode=WAL")


class Writer:
    """The one writer of a database, on a thread of its own."""

    def __init__(self, connection: sqlite.Connection, *, checkpoints: bool = False) -> None:
        """Own *connection*.  With *checkpoints*, keep its WAL short too."""
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._checks: list[Callable[[sqlite.Connection], None]] = []
        if checkpoints:
            connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    def require(self, check: Callable[[sqlite.Connection], None]) -> None:
        """Begin every transaction from now on with *check*, which raises if it must not be."""
        self._checks.append(check)

    async def transact(self, work: Callable[[sqlite.Connection], T]) -> T:
        """Run *work* in one transaction and return what it returned, durable.

        UnavailableError means that it may have happened or not.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[sqlite.Connection], T]) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for check in self._checks:
                check(self._connection)
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except sqlite.IntegrityError:
            self._roll_back()
            raise
        except sqlite.Error as error:
            self._roll_back()
            raise UnavailableError(str(error)) from error
        except BaseException:
            self._roll_back()
            raise
        return result

    async def truncate_wal(self) -> bool:
        """Move all that is in the WAL into the database and empty it.

        Tells whether that was done: a reader that looks at an older state is in its way.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._truncate_wal)

    def _truncate_wal(self) -> bool:
        try:
            row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite.Error as error:
            raise UnavailableError(str(error)) from error
        return bool(row[0] == 0)

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite.Error):  # there may be nothing to roll back
            self._connection.execute("ROLLBACK")

    async def close(self) -> None:
        """Finish what runs, then close."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()


class Readers:
    """A few read-only connections to one database, each used by one question at a time."""

    def __init__(self, connections: Iterable[aiosqlite.Connection]) -> None:
        self._all = list(connections)
        self._free: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for connection in self._all:
            self._free.put_nowait(connection)

    @classmethod
    async def open(cls, path: Path, count: int) -> Self:
        """Open *count* connections to *path*."""
        connections = []
        for _ in range(count):
            connection = await aiosqlite.connect(
                sqlite.read_only_uri(path), uri=True, isolation_level=None
            )
            await connection.execute(f"PRAGMA busy_timeout={sqlite.BUSY_TIMEOUT_MS}")
            await connection.execute("PRAGMA query_only=ON")
            connections.append(connection)
        return cls(connections)

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[aiosqlite.Connection]:
        """Lend a connection inside a read transaction: one moment, however many questions."""
        connection = await self._free.get()
        try:
            try:
                await connection.execute("BEGIN")
                yield connection
            finally:
                # Also when the wait for BEGIN was cut short: it may still have happened.
                with contextlib.suppress(sqlite.OperationalError):
                    await connection.execute("ROLLBACK")
        except sqlite.OperationalError as error:
            raise UnavailableError(str(error)) from error
        finally:
            self._free.put_nowait(connection)

    async def rows(self, sql: str, values: Iterable[Any] = ()) -> list[Any]:
        """Return the rows of one question."""
        async with self.snapshot() as connection:
            return list(await connection.execute_fetchall(sql, values))

    async def row(self, sql: str, values: Iterable[Any] = ()) -> Any | None:
        """Return the first row of one question, or None."""
        rows = await self.rows(sql, values)
        return rows[0] if rows else None

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            await connection.close()


class QueryReaders:
    """Read-only connections for questions of which nobody knows how long they take.

    Each has a thread of its own, and a question that takes too long, or that nobody waits
    for any more, is ended inside SQLite.
    """

    def __init__(self, connections: Iterable[sqlite.Connection]) -> None:
        self._all = [_Desk(connection) for connection in connections]
        self._free: asyncio.LifoQueue[_Desk] = asyncio.LifoQueue()
        for desk in self._all:
            self._free.put_nowait(desk)

    @classmethod
    async def open(cls, path: Path, count: int) -> Self:
        """Open *count* connections to *path*."""
        connections = [sqlite.connect_read_only(path) for _ in range(count)]
        for connection in connections:
            connection.execute(f"PRAGMA cache_size=-{sqlite.CACHE_KIB}")
        return cls(connections)

    async def ask(self, work: Callable[[sqlite.Connection], T], *, seconds_max: float) -> T:
        """Return what *work* returns, which sees one moment; after *seconds_max* refuse."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                desk = await self._free.get()
        except TimeoutError as error:
            msg = "too many questions are being answered: ask again"
            raise UnavailableError(msg) from error
        try:
            return await desk.run(work, seconds_max)
        finally:
            self._free.put_nowait(desk)

    async def close(self) -> None:
        """Close every connection, once its question has ended."""
        for desk in self._all:
            await desk.close()


class _Desk:
    """One connection on its own thread."""

    def __init__(self, connection: sqlite.Connection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-query")
        self._until = 0.0
        connection.set_progress_handler(self._overdue, STEPS_BETWEEN_LOOKS)

    def _overdue(self) -> bool:
        return time.monotonic() > self._until

    async def run(self, work: Callable[[sqlite.Connection], T], seconds_max: float) -> T:
        self._until = time.monotonic() + seconds_max
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._thread, self._run, work, seconds_max)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._until = 0.0
            await asyncio.wait([running])  # nobody else may use the connection before that
            raise

    def _run(self, work: Callable[[sqlite.Connection], T], seconds_max: float) -> T:
        db = self._connection
        try:
            db.execute("BEGIN")
            return work(db)
        except sqlite.OperationalError as error:
            if self._overdue():
                msg = f"not answered in {seconds_max:g} seconds: ask for a shorter span of time"
                raise TooBroadError(msg) from error
            raise UnavailableError(str(error)) from error
        finally:
            self._until = float("inf")
            with contextlib.suppress(sqlite.OperationalError):  # there may be nothing to end
                db.execute("ROLLBACK")

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()
