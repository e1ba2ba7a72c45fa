"""litestream, the process beside a service that copies its databases away.

litestream is started with no database at all; the service tells it over its
control socket which ones to hold.  It forgets them when it restarts, so what is
held is asserted again and again.  Nothing here ever fails a service: without
litestream a database is only less safe, and `behind` says so.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from milepost.errors import UnavailableError
from milepost.logs import get_log

log = get_log(__name__)

CALL_SECONDS = 10.0
SYNC_SECONDS = 30
OK = 200

# How long a database can be restored to earlier moments.  A snapshot goes when it is older than
# the retention and the next one has been made; what that leaves is reckoned with in one place.
SNAPSHOT_INTERVAL_HOURS, SNAPSHOT_RETENTION_HOURS = 24, 24

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Litestream:
    """The databases that the litestream behind *control* should hold, and how to tell it."""

    def __init__(self, control: Path, base_url: str) -> None:
        self._socket = control
        self._base_url = base_url
        self._wanted: dict[Path, str] = {}
        self._held: frozenset[Path] = frozenset()
        self._leaving: frozenset[Path] = frozenset()

    def hold(self, path: Path, name: str) -> None:
        """Have the absolute *path* replicated under *name* from the next `assert_held` on."""
        self._wanted[path] = replica_url(self._base_url, name)

    @property
    def behind(self) -> bool:
        """Tell whether something that should be held is not known to be."""
        return not self._held >= self._wanted.keys()

    async def assert_held(self) -> None:
        """Have litestream hold what is wanted and nothing else.  Safe to repeat.

        What it holds and should not, a database that failed or could not be
        released in order, it must not touch again, not even to let go; so it is
        ended, and comes back without it.
        """
        told = await self._call("GET", "/list")
        self._held = frozenset(Path(entry["path"]) for entry in told.get("databases") or [])
        stray = self._held - self._wanted.keys() - self._leaving
        if stray:
            log.warning("litestream.ended", databases=sorted(path.name for path in stray))
            self._held = frozenset()
            end_listener(self._socket)
            return
        await self._register_missing()

    async def _register_missing(self) -> None:
        failed: UnavailableError | None = None
        for path, url in list(self._wanted.items()):
            if path in self._held or path not in self._wanted:
                continue
            try:
                await self._call("POST", "/register", {"path": str(path), "replica_url": url})
            except UnavailableError as error:  # this one's trouble: the others come first
                failed = error
                continue
            self._held |= {path}
            log.info("replica.registered", database=path.name)
        if failed is not None:
            raise failed

    async def sync(self, path: Path) -> None:
        """Return when all that is committed in *path* has left this machine."""
        body = {"path": str(path), "wait": True, "timeout": SYNC_SECONDS}
        await self._call("POST", "/sync", body)

    async def release(self, path: Path) -> None:
        """Let go of *path* after a last sync.

        litestream checkpoints on the way out, so the writer must still have the
        database open: one checkpointer at a time.
        """
        self._wanted.pop(path, None)
        self._leaving |= {path}
        try:
            await self.sync(path)
            await self._call("POST", "/unregister", {"path": str(path), "timeout": SYNC_SECONDS})
            self._held -= {path}
        finally:
            self._leaving -= {path}

    def forget(self, path: Path) -> None:
        """Stop asking for *path*, without a word to litestream."""
        self._wanted.pop(path, None)

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        connector = aiohttp.UnixConnector(str(self._socket))
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS + (SYNC_SECONDS if body else 0))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(
                    method, f"http://litestream{path}", data=orjson.dumps(body) if body else None
                ) as response,
            ):
                content = await response.read()
                if response.status != OK:
                    msg = f"litestream answered {response.status} to {path}"
                    raise UnavailableError(msg)
                return orjson.loads(content)
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            msg = f"litestream: {type(error).__name__}"
            raise UnavailableError(msg) from error
        finally:
            await asyncio.shield(connector.close())


def end_listener(path: Path) -> None:
    """Kill the process that listens on the socket *path*: the kernel says which one it is."""
    with contextlib.suppress(OSError, AttributeError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        probe.connect(str(path))
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, _, _ = _CREDENTIALS.unpack(credentials)
        if pid > 1 and pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


def replica_url(base: str, name: str) -> str:
    """Return the address of the replica *name* below *base*, which may end in `?endpoint=…`."""
    path, mark, query = base.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{query}"


def find_program(python: str, path: str | None) -> str:
    """Return the litestream beside *python*, else the one on *path*; nothing: there is none."""
    beside = Path(python).parent / "litestream"  # the link's folder: a venv's, not its target's
    return shutil.which(str(beside)) or shutil.which("litestream", path=path) or ""


def configuration(control: Path) -> str:
    """Return the configuration of a litestream that waits to be told its databases."""
    return (
        "dbs: []\n"
        f"socket: {{enabled: true, path: {orjson.dumps(str(control)).decode()}, "
        "permissions: 0600}\n"
        f"snapshot: {{interval: {SNAPSHOT_INTERVAL_HOURS}h, "
        f"retention: {SNAPSHOT_RETENTION_HOURS}h}}\n"
        "logging: {type: json, stderr: true, level: warn}\n"
    )
