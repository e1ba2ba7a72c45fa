"""A database as a service sees it."""

import asyncio
import stat
from pathlib import Path

import pytest

from milepost import database, sqlite
from milepost.database import QueryReaders, Readers, Writer, open_database
from milepost.errors import ConfigError, ConflictError, TooBroadError, UnavailableError

PUT = "INSERT INTO feed (history, position) VALUES ('h', ?)"
COUNT = "SELECT count(*) FROM feed"

Replica = tuple[Writer, Readers]


def put(number: int) -> object:
    """Return a transaction that writes one row."""
    return lambda db: db.execute(PUT, (number,))


async def count(readers: Readers) -> int:
    """Return how many rows are seen."""
    row = await readers.row(COUNT)
    assert row is not None
    return int(row[0])


async def test_what_was_committed_is_read(replica: Replica) -> None:
    """A reader sees a transaction as soon as `transact` has returned."""
    writer, readers = replica

    await writer.transact(lambda db: db.execute(PUT, (1,)))

    assert await count(readers) == 1


@pytest.mark.parametrize(
    "error", [ConflictError("taken"), KeyError("slip"), asyncio.CancelledError()]
)
async def test_an_error_undoes_the_whole_transaction(
    error: BaseException, replica: Replica
) -> None:
    """Nothing of it is seen, the error is the caller's, and the next one works."""
    writer, readers = replica

    def work(db: sqlite.Connection) -> None:
        db.execute(PUT, (1,))
        raise error

    with pytest.raises(type(error)):
        await writer.transact(work)
    await writer.transact(lambda db: db.execute(PUT, (2,)))

    assert await readers.rows("SELECT position FROM feed") == [(2,)]


async def test_what_sqlite_cannot_do_now_is_unavailable(replica: Replica) -> None:
    """The driver's errors are translated once, here."""
    writer, _ = replica

    with pytest.raises(UnavailableError, match="no such table"):
        await writer.transact(lambda db: db.execute("INSERT INTO absent VALUES (1)"))


async def test_a_broken_rule_of_the_table_keeps_its_name(replica: Replica) -> None:
    """Only the layer above knows what its own constraint means."""
    writer, _ = replica

    with pytest.raises(sqlite.IntegrityError, match=r"feed\.position"):
        await writer.transact(lambda db: db.execute(PUT, (None,)))


async def test_transactions_do_not_interleave(replica: Replica) -> None:
    """Fifty read-and-write transactions at once count to fifty."""
    writer, readers = replica

    def work(db: sqlite.Connection) -> None:
        (have,) = db.execute("SELECT coalesce(max(position), 0) FROM feed").fetchone()
        db.execute(PUT, (have + 1,))

    await asyncio.gather(*(writer.transact(work) for _ in range(50)))

    assert await readers.row("SELECT max(position), count(*) FROM feed") == (50, 50)


async def test_readers_cannot_write(replica: Replica) -> None:
    """A query that turned out to be a statement is refused by the file itself."""
    _, readers = replica

    with pytest.raises(UnavailableError, match="readonly"):
        await readers.rows(PUT, (1,))


async def test_a_snapshot_is_one_moment(replica: Replica) -> None:
    """Two questions inside it agree, whatever is committed between them."""
    writer, readers = replica

    async with readers.snapshot() as connection:
        before = list(await connection.execute_fetchall(COUNT))
        await writer.transact(lambda db: db.execute(PUT, (1,)))
        after = list(await connection.execute_fetchall(COUNT))

    assert before == after
    assert await count(readers) == 1


async def test_a_reader_that_was_given_up_can_be_used_again(replica: Replica) -> None:
    """A question may be abandoned at any moment, such as at the end of its time."""
    _, readers = replica

    for turns in range(12):
        task = asyncio.create_task(readers.rows(COUNT))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [await count(readers) for _ in range(3)] == [0, 0, 0]


async def test_an_abandoned_commit_still_happens_whole(replica: Replica) -> None:
    """Who stops waiting does not know; the table is never between two states."""
    writer, readers = replica

    task = asyncio.create_task(writer.transact(lambda db: db.execute(PUT, (1,))))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await writer.transact(lambda db: db.execute(PUT, (2,)))

    assert await count(readers) == 2


@pytest.mark.parametrize("content", [None, b""], ids=["absent", "empty"])
def test_an_absent_or_empty_file_is_made(content: bytes | None, tmp_path: Path) -> None:
    """An empty file is what a crash between making and filling it leaves."""
    path = tmp_path / "data" / "replica.db"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)

    open_database(path, "replica").close()
    again = open_database(path, "replica")
    found = [again.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode",)]
    again.close()

    assert found == ["wal"]


def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask of who started the service."""
    path = tmp_path / "replica.db"

    open_database(path, "replica").close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def damaged(path: Path, at: int, value: int) -> bytes:
    """Write *value* over four bytes of the database *path*; return what it holds then."""
    content = bytearray(path.read_bytes())
    content[at : at + 4] = value.to_bytes(4, "big")
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [
        (60, 99, "version 99, newer than this program's 1; start the newer program"),
        (68, 0x4D500001, "not Milepost's replica database; move it away"),
        (68, 0, "not Milepost's replica database; move it away"),
    ],
    ids=["from the future", "another of ours", "somebody else's"],
)
def test_a_file_that_is_refused_is_not_touched(
    at: int, value: int, text: str, tmp_path: Path
) -> None:
    """Byte for byte as before, and nothing beside it: not even recovery has run."""
    path = tmp_path / "replica.db"
    open_database(path, "replica").close()
    before = damaged(path, at, value)
    wal = tmp_path / "replica.db-wal"
    wal.write_bytes(b"what a crash left behind")

    with pytest.raises(ConfigError, match=text):
        open_database(path, "replica")

    assert path.read_bytes() == before
    assert wal.read_bytes() == b"what a crash left behind"
    assert {each.name for each in tmp_path.iterdir()} == {"replica.db", "replica.db-wal"}


@pytest.mark.parametrize("content", [b"hello", b"hello" * 100, b"SQLite format 3\x00"])
def test_what_is_no_database_is_left_alone(content: bytes, tmp_path: Path) -> None:
    """A wrong folder in the settings costs a message, and no file."""
    path = tmp_path / "replica.db"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="not a database; move it away"):
        open_database(path, "replica")

    assert path.read_bytes() == content


def wal_sizes(folder: Path) -> list[int]:
    """Return how large each WAL below *folder* is."""
    return [path.stat().st_size for path in folder.rglob("*-wal")]


async def test_an_emptied_wal_holds_nothing(tmp_path: Path, replica: Replica) -> None:
    """Unless a reader is at an older state: then it is said, and the next time succeeds."""
    writer, readers = replica
    writer._connection.execute("PRAGMA busy_timeout=1")
    await writer.transact(lambda db: db.execute(PUT, (1,)))
    async with readers.snapshot() as snapshot:
        await snapshot.execute_fetchall(COUNT)
        await writer.transact(lambda db: db.execute(PUT, (2,)))
        assert not await writer.truncate_wal()

    assert await writer.truncate_wal()
    assert wal_sizes(tmp_path) == [0]
    assert await count(readers) == 2


ENDLESS = """
    WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted)
    SELECT count(*) FROM counted
"""


async def test_a_question_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """It ends inside SQLite, and its connection answers the next one."""
    open_database(tmp_path / "replica.db", "replica").close()
    queries = await QueryReaders.open(tmp_path / "replica.db", 1)

    with pytest.raises(TooBroadError, match=r"not answered in 0\.01 seconds"):
        await queries.ask(lambda db: db.execute(ENDLESS).fetchone(), seconds_max=0.01)

    assert await queries.ask(lambda db: db.execute(COUNT).fetchone(), seconds_max=60) == (0,)
    await queries.close()


async def test_a_question_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """Otherwise callers who go away would keep the connections."""
    open_database(tmp_path / "replica.db", "replica").close()
    queries = await QueryReaders.open(tmp_path / "replica.db", 1)
    endless = asyncio.create_task(
        queries.ask(lambda db: db.execute(ENDLESS).fetchone(), seconds_max=3_600)
    )
    await asyncio.sleep(0.01)
    endless.cancel()

    assert await queries.ask(lambda db: db.execute(COUNT).fetchone(), seconds_max=60) == (0,)
    assert endless.cancelled()
    await queries.close()


async def test_a_question_waits_for_others_so_long_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds every connection taken is told to ask again."""
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.01)
    open_database(tmp_path / "replica.db", "replica").close()
    queries = await QueryReaders.open(tmp_path / "replica.db", 1)
    endless = asyncio.create_task(
        queries.ask(lambda db: db.execute(ENDLESS).fetchone(), seconds_max=3_600)
    )
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError, match="ask again"):
        await queries.ask(lambda db: db.execute(COUNT).fetchone(), seconds_max=60)

    endless.cancel()
    await asyncio.wait([endless])
    await queries.close()
