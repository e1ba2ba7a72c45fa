"""A registry as a process of its own, with as many links as a test wants, and edges beside it."""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from link_registry.changing.store import INSERT, row_of
from link_registry.entries import new_entry
from link_registry.news import News
from link_registry.store import LinkStore
from milepost.links import Link
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId, Millis
from tests.edge.links_world import a_link
from tests.log.kit import Service, World, free_port, world

MANY = 100_000


def many_links(count: int = MANY) -> list[Link]:
    """Return links such as people make: short paths, longer destinations."""
    return [
        a_link(f"{n:010d}", f"/promo-{n}", destination=f"https://shop.example/landing/{n}?from=a")
        for n in range(count)
    ]


async def fill(database: Path, links: Sequence[Link]) -> None:
    """Put *links* into a registry that does not run, all at once."""
    entries = [
        new_entry(
            {name: value for name, value in link.to_rule().items() if name != "id"},
            link.id,
            Millis(1),
        )
        for link in links
    ]

    def work(db: Connection) -> None:
        db.executemany(INSERT, map(row_of, entries))

    async with LinkStore.open(database, os.urandom, News(), checkpoints=True) as store:
        await store.change(work)
        await store.create(new_entry({"path": "/last", "destination": "https://x.example/"},
                                     LinkId("last"), Millis(1)), "test")  # fmt: skip


@dataclass(slots=True)
class Fleet:
    """A registry, an edge and a key server on one folder."""

    registry: Service
    running: World

    async def status_of(self, path: str) -> tuple[int, str]:
        """Return what a visitor to *path* gets: status, and where to."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.running.url + path, allow_redirects=False) as answer,
        ):
            return answer.status, answer.headers.get("Location", "")

    async def until(self, path: str, status: int, seconds: float = 20.0) -> float:
        """Return how long it took until a visitor to *path* gets *status*."""
        begun = time.monotonic()
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                if (await self.status_of(path))[0] == status:
                    return time.monotonic() - begun
            assert time.monotonic() - begun < seconds, self.running.edge.log.read_text()[-3_000:]
            await asyncio.sleep(0.05)

    async def metrics(self) -> dict[str, float]:
        """Return the edge's metrics, by name and labels."""
        url = f"http://127.0.0.1:{self.running.edge.private_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines
            if not line.startswith("#")
        }

    def memory(self, field: str = "VmRSS") -> int:
        """Return how many bytes of memory the edge has."""
        assert self.running.edge.process is not None
        return memory_of(self.running.edge.process.pid, field)


def memory_of(pid: int, field: str = "VmRSS") -> int:
    """Return how many bytes of memory a process has."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@contextlib.asynccontextmanager
async def fleet(
    folder: Path, links: Sequence[Link], *, workers: str = "1", memory_mb: str = "64"
) -> AsyncIterator[Fleet]:
    """Run a registry with *links*, and prepare an edge that has yet to be started."""
    await fill(folder / "registry" / "links.db", links)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        world(folder, LINKS_URL=url, LINKS_MEMORY_MB=memory_mb, WORKERS=workers) as running,
        registry_of(folder, port) as registry,
    ):
        yield Fleet(registry, running)


@contextlib.contextmanager
def registry_of(folder: Path, port: int) -> Iterator[Service]:
    """Run the registry whose database is in *folder*."""
    env = {
        "MILEPOST_DATA": str(folder / "registry"),
        "MILEPOST_TOKENS_FILE": str(folder / "tokens.json"),
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{port}",
    }
    service = Service("link_registry", env, folder / "registry.log", port)
    service.start()
    service.wait_live()
    try:
        yield service
    finally:
        service.stop()
        service.kill()


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return once *holds* does."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.05)
