"""Everything is killed, again and again, under load: each click counts once, and all adds up."""

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import ServiceError
from tests.fleet.kit import Platform, platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REGIONS = ("dfw", "cdg", "nrt")
CLICKS, KILLS = 100_000, 40
CONNECTIONS = 8  # to each region
SHARE = CLICKS // (KILLS + 1)  # between one kill and the next
KILL_SECONDS = 0.5  # at least
LOOK_SECONDS = 0.3
COUNTED_SECONDS = 120.0
PATIENT = {"MILEPOST_ACCEPT_BUDGET_MS": "60000"}
PATHS = "SELECT value, count(*) FROM hit JOIN text ON text.id = hit.path GROUP BY hit.path"
ANSWERED = b"HTTP/1.1 302 "


class Visitors:
    """Many visitors on few connections, as fast as they are answered."""

    def __init__(self) -> None:
        self.begun = 0
        self.redirected: list[str] = []
        self.unanswered = 0
        self._allowed = SHARE
        self._more = asyncio.Event()

    def allow(self, count: int) -> None:
        """Let *count* clicks be made in all."""
        self._allowed = count
        self._more.set()

    async def reached(self, count: int) -> None:
        """Return once *count* clicks have begun."""
        while self.begun < count:  # noqa: ASYNC110 - an event a click would cost more
            await asyncio.sleep(0.01)

    async def _next(self) -> int | None:
        """Return the number of the next click, as soon as it may be made."""
        while self._allowed <= self.begun < CLICKS:
            self._more.clear()
            await self._more.wait()
        if self.begun == CLICKS:
            return None
        self.begun += 1
        return self.begun

    async def click(self, port: int) -> None:
        """Click on one region until there is nothing left to click."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:  # nobody is there at this moment
                await asyncio.sleep(0.05)
                continue
            with contextlib.closing(writer):
                if await self._visit_all(reader, writer):
                    return

    async def _visit_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Visit until there is nothing left, or until the connection breaks; tell which."""
        try:
            while await self._visit(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            self.unanswered += 1
            return False
        return True

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        number = await self._next()
        if number is None:
            return False
        path = f"/e/target.example/{number}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(ANSWERED), head
        await reader.readexactly(length_of(head))
        self.redirected.append(path)
        return True


def length_of(head: bytes) -> int:
    """Return how long the body behind *head* is."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def pids_of(running: Platform) -> dict[str, int]:
    """Return who may be killed now, by name."""
    fleet = running.fleet
    pids = {"aggregator": fleet.aggregator.pid}
    pids |= {f"edge {entry.region}": entry.pid for entry in fleet.regions}
    return {name: pid for name, pid in pids.items() if pid is not None}


async def pid_of(running: Platform, name: str) -> int:
    """Return the process to kill, as soon as it runs."""
    while (pid := pids_of(running).get(name)) is None:  # noqa: ASYNC110 - another process's file
        await asyncio.sleep(0.05)
    return pid


async def kill_in_turn(running: Platform, visitors: Visitors) -> None:
    """Kill the aggregator and the edges in turn, each time amid clicks."""
    turn = itertools.cycle(["aggregator", *(f"edge {region}" for region in REGIONS)])
    for number, name in enumerate(itertools.islice(turn, KILLS)):
        await asyncio.sleep(KILL_SECONDS)
        await visitors.reached(number * SHARE + SHARE // 2)
        os.kill(await pid_of(running, name), signal.SIGKILL)
        visitors.allow((number + 2) * SHARE)
    visitors.allow(CLICKS)


async def look(running: Platform, seen: list[dict[str, Any]]) -> None:
    """Reconcile again and again: whatever has just been killed, nothing is unaccounted."""
    fleet = running.fleet
    token = Secret(fleet.tokens["read"])
    async with Client.connect(fleet.aggregator.url, token) as client:
        while True:
            with contextlib.suppress(ServiceError):
                told = await client.get("/v1/reconciliation")
                seen.append(told["total"])
                assert told["unaccounted"] == [], told
            await asyncio.sleep(LOOK_SECONDS)


def hits_of(running: Platform) -> Counter[str]:
    """Count the hits by path, in the database itself."""
    path = running.fleet.aggregator.database
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return Counter(dict(database.execute(PATHS)))


async def all_counted(running: Platform, wanted: list[str]) -> Counter[str]:
    """Return the hits once all that are *wanted* are among them, or time is over."""
    ends = time.monotonic() + COUNTED_SECONDS
    while True:
        found = await asyncio.to_thread(hits_of, running)
        if found.keys() >= set(wanted) or time.monotonic() > ends:
            return found
        await asyncio.sleep(1.0)


def reconcile(running: Platform) -> subprocess.CompletedProcess[str]:
    """Run the command that people would."""
    fleet = str(running.data / "fleet.json")
    return subprocess.run(
        [sys.executable, "-m", "milepost", "reconcile", "--fleet", fleet],
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def told_apart(found: Counter[str], visitors: Visitors) -> Iterator[None]:
    """Say what is missing and what is doubled, in few words."""
    missing = set(visitors.redirected) - found.keys()
    doubled = [path for path, count in found.items() if count > 1]
    assert (sorted(missing)[:5], doubled[:5]) == ([], [])
    yield


async def settled(running: Platform, seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sums once nothing is behind."""
    ends = time.monotonic() + COUNTED_SECONDS
    already = len(seen)
    while time.monotonic() < ends:
        if len(seen) > already + 3 and not seen[-1]["behind"]:
            return seen[-1]
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(seen[-1:] or running.logs())


async def test_a_hundred_thousand_clicks_and_forty_kills(tmp_path: Path) -> None:
    """Each click that was answered is a hit exactly once; unaccounted is 0 whenever one looks."""
    visitors, seen = Visitors(), list[dict[str, Any]]()
    with platform(tmp_path / "fleet", "--regions", ",".join(REGIONS), env=PATIENT) as running:
        fleet = await asyncio.to_thread(running.wait_ready)
        looking = asyncio.create_task(look(running, seen))
        ports = [int(entry.url.rpartition(":")[2]) for entry in fleet.regions] * CONNECTIONS
        clicking = asyncio.gather(*map(visitors.click, ports))
        await kill_in_turn(running, visitors)
        await clicking
        found = await all_counted(running, visitors.redirected)
        total = await settled(running, seen)
        assert not looking.done(), looking.result()
        looking.cancel()
        done = await asyncio.to_thread(reconcile, running)

    assert len(visitors.redirected) + visitors.unanswered == CLICKS
    with told_apart(found, visitors):
        assert total["pulled"] == total["recorded"] == sum(found.values())
    assert (total["late"], total["shed"], total["unaccounted"]) == (0, 0, 0)
    assert total["served"] == total["recorded"] + total["lost"] + total["excluded"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(seen) > KILLS // 2
