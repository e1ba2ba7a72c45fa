"""Two regions whose clicks never stop, and combined databases that come and go beside them."""

import asyncio
import contextlib
import itertools
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from milepost.litestream import Litestream
from regional_logger.readers import FILE as READERS_FILE
from tests.log.combined import hits, log_dir, second_edge
from tests.log.kit import (
    Answers,
    Service,
    World,
    clean_env,
    free_port,
    stream_batches,
    visit,
    visitors,
)
from tests.log.stores import Store
from tests.log.test_log_litestream import BINARY, Beside, held
from tests.log.test_log_lost import replicating

DEADLINE_SECONDS = 120.0
CLICK_SECONDS, LOOK_SECONDS = 0.1, 0.05
MARKS = "*.acknowledged"
READER = "aggregator"

PATHS = "SELECT text.value FROM hit JOIN text ON text.id = hit.path"
GENERATION = "SELECT generation FROM meta"
CURSORS = "SELECT lower(hex(stream)), seq FROM stream"


async def until(what: str, enough: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as it is *enough*; a service may be about to start."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while not await enough():
        assert time.monotonic() < ends, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Region:
    """One edge with its litestream."""

    running: World
    beside: Beside

    @property
    def name(self) -> str:
        """Return the region."""
        return self.running.edge.env["MILEPOST_REGION"]

    @property
    def streams(self) -> set[str]:
        """Return which streams are on the machine."""
        return {path.stem for path in log_dir(self.running).glob("*.db")}

    @property
    def acknowledged(self) -> set[str]:
        """Return which streams and lives are marked as acknowledged."""
        return {path.stem for path in log_dir(self.running).glob(MARKS)}

    @property
    def generation(self) -> int:
        """Return the highest generation that the edge has seen."""
        told = orjson.loads((log_dir(self.running) / READERS_FILE).read_bytes())
        return int(told[READER])

    async def begin(self) -> None:
        """Start the edge."""
        self.running.edge.start()
        await asyncio.to_thread(self.running.edge.wait_live)
        await held(self.beside, 1)

    async def turn_over(self) -> set[str]:
        """Close the stream in order and begin the next; return those that are closed now."""
        status = await asyncio.to_thread(self.running.edge.stop)
        assert status == 0, self.running.edge.log.read_text()
        closed = self.streams
        await self.begin()
        return closed

    async def acknowledging(self, closed: set[str]) -> None:
        """Return when *closed* streams are acknowledged, or already gone."""

        async def enough() -> bool:
            return closed & self.streams <= self.acknowledged

        await until(f"streams of {self.name} acknowledged", enough)

    async def forgetting(self, closed: set[str]) -> None:
        """Return when the machine has none of the *closed* streams any more."""

        async def enough() -> bool:
            return not closed & self.streams

        await until(f"streams of {self.name} retired", enough)


@contextlib.asynccontextmanager
async def two_regions(running: World, store: Store) -> AsyncIterator[list[Region]]:
    """Run the edge of *running*, and another one in another region."""
    other = second_edge(running, "other")
    other.edge.env["MILEPOST_REGION"] = "cdg"
    async with replicating(running.edge, store) as here, replicating(other.edge, store) as there:
        regions = [Region(running, here), Region(other, there)]
        try:
            for region in regions:
                await region.begin()
            yield regions
        finally:
            other.edge.kill()


@contextlib.asynccontextmanager
async def clicking(regions: list[Region], answers: Answers) -> AsyncIterator[None]:
    """Click in every region for as long as the block runs, whether or not its edge does."""
    stop = asyncio.Event()

    async def click(region: Region) -> None:
        async with visitors(fresh=True) as session:
            for number in itertools.count():
                if stop.is_set():
                    return
                await visit(session, region.running.url, f"{region.name}/{number}", answers)
                await asyncio.sleep(CLICK_SECONDS)

    async with asyncio.TaskGroup() as group:
        for region in regions:
            group.create_task(click(region))
        yield
        stop.set()


def beside_the_first(first: Service, folder: Path) -> Service:
    """Return an aggregator with the same settings on another port and in another *folder*."""
    port = free_port()
    env = first.env | {
        "MILEPOST_DATA": str(folder),
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{port}",
    }
    log = first.log.with_name(f"{folder.name}.log")
    return replace(first, env=env, log=log, private_port=port, process=None)


def database(combined: Service) -> Path:
    """Return where the database of an aggregator lies."""
    return Path(combined.env["MILEPOST_DATA"]) / "combined.db"


def rows(path: Path, query: str) -> list[Any]:
    """Return what is in a database, without a word to whoever writes it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
        return found.execute(query).fetchall()


def paths(path: Path) -> Counter[str]:
    """Count every hit in a combined database by its path."""
    return Counter(value for (value,) in rows(path, PATHS))


def generation(combined: Service) -> int:
    """Return which generation a combined database is of."""
    ((found,),) = rows(database(combined), GENERATION)
    return int(found)


def cursors(path: Path) -> dict[str, int]:
    """Return how far a combined database has each stream."""
    return dict(rows(path, CURSORS))


async def counting(combined: Service, answers: Answers) -> list[str]:
    """Return every path that was answered by now, once all of them are counted."""
    wanted = list(answers.redirected)

    async def enough() -> bool:
        return set(wanted) <= (await hits(combined)).keys()

    await until("all counted", enough)
    return wanted


async def replicate(combined: Service, beside: Beside, store: Store) -> None:
    """Return when all that is committed now has reached the store."""
    await Litestream(beside.control, store.url).sync(database(combined))


def restore(store: Store, name: str, out: Path, *options: str) -> Path:
    """Restore a replica as people do, with litestream alone."""
    done = subprocess.run(
        [str(BINARY), "restore", *options, "-o", str(out), store.url_of(name)],
        check=False,
        capture_output=True,
        env=clean_env(),
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


def in_store(store: Store, regions: list[Region], streams: set[str], out: Path) -> dict[str, int]:
    """Return how many batches the store holds of each of *streams*."""
    out.mkdir()
    found = {}
    for region in regions:
        place = f"{region.name}/{region.running.edge.env.get('MILEPOST_MACHINE', 'local')}"
        for stream in sorted(streams):
            if (store.folder / place / stream).exists():
                restored = restore(store, f"{place}/{stream}", out / f"{stream}.db")
                found[stream] = len(stream_batches(restored))
    return found


async def readiness(combined: Service) -> tuple[int, dict[str, Any]]:
    """Return what an aggregator says of itself; status 0: nothing yet."""
    url = f"http://127.0.0.1:{combined.private_port}/readyz"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.json()
    except (aiohttp.ClientError, OSError):
        return 0, {}


def refusals(combined: Service) -> Counter[str]:
    """Count by source how often an aggregator was told that another one is newer."""
    found = []
    for line in combined.log.read_bytes().splitlines():
        with contextlib.suppress(orjson.JSONDecodeError):
            found.append(orjson.loads(line))
    return Counter(
        each["source"]
        for each in found
        if each.get("event") == "pull.failed" and "is older than" in each["reason"]
    )


@dataclass(frozen=True, slots=True)
class Gone:
    """A stream at the moment when its machine had it no more."""

    stream: str
    generation: int  # the highest that the edge had seen when it still had the stream
    seq: int  # how far it was in the combined database by then


@dataclass(slots=True)
class Watch:
    """Notes each stream that retires, and what the combined database *path* had of it."""

    regions: list[Region]
    path: Path
    gone: list[Gone] = field(default_factory=list)

    async def look(self) -> None:
        """Look again and again."""
        before = [(region.generation, region.streams) for region in self.regions]
        while True:
            # What the database holds is read first: what is applied later does not count.
            applied = cursors(self.path) if self.path.exists() else {}
            now = [(region.generation, region.streams) for region in self.regions]
            for (generation_then, had), (_, has) in zip(before, now, strict=True):
                self.gone += [
                    Gone(stream, generation_then, applied.get(stream, 0)) for stream in had - has
                ]
            before = now
            await asyncio.sleep(LOOK_SECONDS)

    @contextlib.asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look for as long as the block runs."""
        task = asyncio.create_task(self.look())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
