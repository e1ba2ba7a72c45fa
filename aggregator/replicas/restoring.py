"""Restoring a replica into a scratch folder, with litestream, one at a time.

litestream hears in a file which replica that is, and of the credentials through
its environment: nothing about the store stands in its command.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from aggregator.replicas.access import Access
from aggregator.replicas.names import Name
from milepost.dev.tether import tethered
from milepost.errors import RejectedError, UnavailableError

RESTORE_SECONDS_MAX = 600.0
SAID_BYTES_MAX = 4_096
# The files are restored next to the combined database, which must not run out of room for it.
ROOM_FACTOR, ROOM_BYTES_MIN = 3, 256 << 20


class Restorer:
    """Restores replicas into *scratch*, which holds nothing else."""

    def __init__(self, access: Access, binary: str, scratch: Path) -> None:
        self._access = access
        self._binary = binary
        self._scratch = scratch
        self._one_at_a_time = asyncio.Lock()

    def clear(self) -> None:
        """Make the scratch folder anew: an earlier process may have left something there."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def restored(self, name: Name, size_bytes: int) -> AsyncIterator[Path]:
        """Lend the database that the replica *name*, of *size_bytes*, is of."""
        async with self._one_at_a_time:
            self.clear()
            try:
                self._require_room(size_bytes)
                path = self._scratch / f"{name.stream.hex()}.db"
                await self._restore(name, path)
                yield path
            finally:
                self.clear()

    def _require_room(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self._scratch).free
        wanted = ROOM_FACTOR * size_bytes + ROOM_BYTES_MIN
        if free < wanted:
            msg = f"no room to restore it: {free >> 20} MB are free, want {wanted >> 20}"
            raise UnavailableError(msg)

    async def _restore(self, name: Name, path: Path) -> None:
        if not self._binary:
            msg = "litestream is not found: MILEPOST_LITESTREAM names the program"
            raise UnavailableError(msg)
        config = self._scratch / "litestream.yml"
        config.touch(mode=0o600)
        database = {"path": str(path), "replica": {"url": self._access.url_of(name)}}
        config.write_bytes(orjson.dumps({"dbs": [database]}))  # JSON is YAML
        words = (self._binary, "restore", "-no-expand-env", "-config", str(config), str(path))
        status, said = await self._run(words)
        if status != 0:
            reason = self._access.told(said) or f"status {status}"
            msg = f"it cannot be restored: {reason}"
            raise RejectedError(msg)

    async def _run(self, words: tuple[str, ...]) -> tuple[int, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                *tethered(*words),  # it ends with this process
                env=self._access.child_env(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            msg = f"litestream cannot be started: {error.strerror}"
            raise UnavailableError(msg) from error
        try:
            async with asyncio.timeout(RESTORE_SECONDS_MAX):
                said = await _tail(process.stderr)
                return await process.wait(), said.decode("utf-8", "replace")
        except TimeoutError as error:
            msg = f"restoring it took more than {RESTORE_SECONDS_MAX:g} s"
            raise UnavailableError(msg) from error
        finally:
            if process.returncode is None:
                process.kill()
                await asyncio.shield(process.wait())


async def _tail(stream: asyncio.StreamReader | None) -> bytes:
    """Read to the end, and keep what came last."""
    said = b""
    while stream is not None and (more := await stream.read(SAID_BYTES_MAX)):
        said = (said + more)[-SAID_BYTES_MAX:]
    return said
