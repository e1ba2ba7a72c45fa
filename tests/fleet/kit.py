"""A whole platform as people run it: `milepost dev` in a process of its own."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from milepost.fleet import Fleet, read_fleet

READY_SECONDS = 60.0
STOP_SECONDS = 40.0
PORTS_OF_A_FLEET = 130


@dataclass(slots=True)
class Platform:
    """A running `milepost dev`."""

    process: subprocess.Popen[bytes]
    data: Path
    base_port: int

    @property
    def fleet(self) -> Fleet:
        """Return what fleet.json says now."""
        return read_fleet(self.data / "fleet.json")

    def output(self) -> str:
        """Return what was printed so far."""
        return (self.data.parent / f"{self.data.name}.out").read_text()

    def wait_ready(self) -> Fleet:
        """Wait until a click in any region would be served and counted."""
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            assert self.process.poll() is None, self.output()
            with contextlib.suppress(Exception):
                if self.fleet.ready:
                    return self.fleet
            time.sleep(0.1)
        raise AssertionError(self.output() + self.logs())

    def logs(self) -> str:
        """Return the end of each service's log."""
        files = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def stop(self) -> int:
        """Ask it to end, as Ctrl-C in a terminal does; return its exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def platform(
    data: Path,
    *options: str,
    env: dict[str, str] | None = None,
    base_port: int | None = None,
    command: tuple[str, ...] = (sys.executable, "-m", "milepost"),
    cwd: Path | None = None,
    whole_command: tuple[str, ...] = (),
) -> Iterator[Platform]:
    """Run `milepost dev` on *data*, or *whole_command* in its place, until the block ends."""
    port = base_port or free_ports()
    dev = [*command, "dev", "--data", str(data), "--base-port", str(port), *options]
    arguments = list(whole_command) or dev
    with (data.parent / f"{data.name}.out").open("ab") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean_env() | (env or {}),
            cwd=cwd,
            start_new_session=True,
        )
    running = Platform(process, data, port)
    try:
        yield running
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.stop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def clean_env() -> dict[str, str]:
    """Return this environment without anything that is about Milepost."""
    return {name: value for name, value in os.environ.items() if "MILEPOST" not in name}


def free_ports() -> int:
    """Return a base port whose whole range is free at this moment."""
    for base in range(20_000 + os.getpid() % 97 * 150, 60_000, PORTS_OF_A_FLEET):
        if all(map(_is_free, range(base, base + PORTS_OF_A_FLEET))):
            return base
    msg = "no range of free ports"
    raise AssertionError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


@dataclass(slots=True)
class Answers:
    """What visitors heard."""

    redirected: list[str] = field(default_factory=list)
    failed: int = 0


async def click(
    session: aiohttp.ClientSession, url: str, name: str, answers: Answers, *, prefix: str = "/e"
) -> None:
    """Make one visit and note whether it was answered with a redirect."""
    path = f"{prefix}/target.example/{name}"
    try:
        async with session.get(url + path, allow_redirects=False) as response:
            assert response.status == 302, response.status
            answers.redirected.append(path)
    except (aiohttp.ClientError, TimeoutError, OSError):
        answers.failed += 1


@contextlib.asynccontextmanager
async def visitors(address: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a session whose connections come from *address*."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=16)
    timeout = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


async def all_hits(fleet: Fleet) -> list[dict[str, Any]]:
    """Return every hit, page by page."""
    hits: list[dict[str, Any]] = []
    headers = {"Authorization": f"Bearer {fleet.tokens['read']}"}
    params = {"limit": "1000", "order": "arrival"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            async with session.get(f"{fleet.aggregator.url}/v1/hits", params=params) as response:
                assert response.status == 200, await response.text()
                page = await response.json()
            hits += page["hits"]
            if page["next"] is None:
                return hits
            params = params | {"cursor": page["next"]}


async def counted(fleet: Fleet, wanted: list[str], *, seconds: float) -> Counter[str]:
    """Return how often each path is counted, once all of *wanted* are or time is over."""
    ends = time.monotonic() + seconds
    while True:
        paths = Counter(hit["path"] for hit in await all_hits(fleet))
        if all(paths[path] for path in wanted) or time.monotonic() > ends:
            return paths
        await asyncio.sleep(0.2)
