"""litestream, told its databases at run time: against the real one."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from milepost.database import open_database
from milepost.errors import UnavailableError
from milepost.litestream import Litestream, configuration

LITESTREAM = Path(sys.executable).with_name("litestream")
TRIES, PAUSE_SECONDS = 200, 0.05


@pytest.fixture
def folder() -> Iterator[Path]:
    """Lend a folder with a short name: a socket's path has little room."""
    with tempfile.TemporaryDirectory(prefix="mp", dir="/tmp") as name:
        yield Path(name)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[None]:
    """Run litestream until the block ends; it is killed, as a crash would."""
    config = folder / "litestream.yml"
    config.write_text(configuration(folder / "s"))
    process = await asyncio.create_subprocess_exec(
        str(LITESTREAM),
        "replicate",
        "-config",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()
        (folder / "s").unlink(missing_ok=True)


async def held(litestream: Litestream) -> None:
    """Assert what is to be held until litestream has come up."""
    for _ in range(TRIES):
        with contextlib.suppress(UnavailableError):
            await litestream.assert_held()
            return
        await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail("litestream did not come up")


async def test_no_litestream_is_unavailable_and_said(folder: Path) -> None:
    """It never fails a service; what should be held is known not to be."""
    litestream = Litestream(folder / "s", f"file://{folder}/replica")
    litestream.hold(folder / "a.db", "a")

    with pytest.raises(UnavailableError, match="litestream: "):
        await litestream.assert_held()

    assert litestream.behind


async def test_a_database_is_held_and_can_be_restored(folder: Path) -> None:
    """After `sync` everything committed is in the replica; `release` lets go."""
    path = folder / "a.db"
    connection = open_database(path, "replica")
    litestream = Litestream(folder / "s", f"file://{folder}/replica")
    litestream.hold(path, "a")

    async with running(folder):
        await held(litestream)
        connection.execute("INSERT INTO feed (history, position) VALUES ('h', 1)")
        await litestream.sync(path)
        behind = litestream.behind
        await litestream.release(path)
    connection.close()

    restored = folder / "restored.db"
    process = await asyncio.create_subprocess_exec(
        str(LITESTREAM), "restore", "-o", str(restored), f"file://{folder}/replica/a"
    )
    assert await process.wait() == 0
    again = open_database(restored, "replica")
    rows = again.execute("SELECT position FROM feed").fetchall()
    again.close()
    assert not behind
    assert rows == [(1,)]


async def test_a_restart_forgets_and_is_told_again(folder: Path) -> None:
    """It keeps no list of its own, so what is held is asserted again and again."""
    path = folder / "a.db"
    connection = open_database(path, "replica")
    litestream = Litestream(folder / "s", f"file://{folder}/replica")
    litestream.hold(path, "a")

    async with running(folder):
        await held(litestream)
    with pytest.raises(UnavailableError):
        await litestream.assert_held()
    async with running(folder):
        await held(litestream)
        connection.execute("INSERT INTO feed (history, position) VALUES ('h', 1)")
        await litestream.sync(path)
        await litestream.assert_held()
    connection.close()

    assert not litestream.behind
