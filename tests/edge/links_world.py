"""The edge's side of the feed in tests: a follower over a folder, and feeds that play a script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from milepost import sqlite
from milepost.client import Client
from milepost.clock import SystemClock
from milepost.config import Secret
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link, link_from
from milepost.sse import Event, frame
from regional_logger.links.feed import FeedFollower
from regional_logger.links.local import LocalLinks, OwnLinks
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import COLD, LINK_BYTES, LinkTable, Outline
from tests.link_registry.registry_world import EDGE

HISTORY, OTHER = "a" * 32, "b" * 32


@dataclass(frozen=True)
class Edge:
    """One edge's copy of the links."""

    store: ReplicaStore
    links: LocalLinks
    follower: FeedFollower

    async def on_disk(self) -> dict[str, Link]:
        """Return the links of the replica."""
        return {link.id: link for link in await self.store.links()}

    async def found(self) -> dict[str, Link]:
        """Return the links that visitors find, of those at the places where any might be."""
        links = [*(await self.store.links()), *PLACES]
        found = [
            await self.find("" if link.host == "*" else link.host, link.path) for link in links
        ]
        return {link.id: link for link in found if link is not None}

    async def find(self, host: str, path: str) -> Link | None:
        """Return what a visitor finds, with a look at the disk if need be."""
        found = self.links.table.find(host, path)
        if found is COLD:
            found = (await self.links.find(host, path))(host, path)
            assert found is not COLD
        return found

    async def hold(self, place: FeedPlace, *links: Link) -> None:
        """Have the edge know *links* and nothing else, as of *place*."""
        await self.store.arrive(links, first=True)
        await self.store.take_arrived(place)
        await self.follower.load()

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow the feed meanwhile."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(UnavailableError):
                await self.follower.follow()
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def edge(
    folder: Path, url: str, *, silence_seconds_max: float = 5, bytes_max: int = 1_000_000
) -> AsyncIterator[Edge]:
    """Open the replica in *folder*, to follow the registry at *url*."""
    store = ReplicaStore.open(folder / "replica.db")
    links = LocalLinks(LinkTable(b"key", bytes_max), folder / "replica.db", seconds_max=5.0)
    try:
        async with Client.connect(url, Secret(EDGE)) as client:
            follower = FeedFollower(
                client,
                store,
                OwnLinks(store, links),
                SystemClock(),
                silence_seconds_max=silence_seconds_max,
            )
            await follower.load()
            yield Edge(store, links, follower)
    finally:
        links.close()
        await store.close()


def a_link(link_id: str, path: str = "/a", **fields: Any) -> Link:
    """Return a link."""
    return link_from({"path": path, "destination": "https://example.org/"} | fields, link_id)


LINKS = [a_link(str(n), f"/{n}") for n in range(10)]
PLACES = tuple(a_link("", path) for path in ("/a", "/b", "/0", "/1", "/2", "/3"))


def snapshot(links: Sequence[Any], *, last: bool = True, place: str = "") -> bytes:
    """Return the frame of one part of a snapshot."""
    rules = [link.to_rule() if isinstance(link, Link) else link for link in links]
    return frame(Event("snapshot", orjson.dumps({"links": rules, "last": last}), place))


def change(action: str, rule: Any, place: str) -> bytes:
    """Return the frame of one change."""
    told = rule.to_rule() if isinstance(rule, Link) else rule
    return frame(Event(action, orjson.dumps({"action": action, "rule": told}), place))


class ScriptedFeed:
    """A registry that says what it was told to, one script for each connection, then hangs up."""

    def __init__(self, *scripts: Sequence[bytes], silent: bool = False) -> None:
        self._scripts = list(scripts)
        self._silent = silent
        self._over = asyncio.Event()
        self.asked: list[str] = []  # the Last-Event-ID of each connection

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Play the next script."""
        self.asked.append(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for each in self._scripts.pop(0) if self._scripts else ():
            await response.write(each)
        if self._silent:
            await self._over.wait()
        return response

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen; lend the address."""
        app = web.Application()
        app.router.add_get("/sync/stream", self.answer)
        async with TestServer(app) as server:
            try:
                yield str(server.make_url("")).rstrip("/")
            finally:
                self._over.set()


@contextlib.contextmanager
def local(path: Path, *held: Link, near_max: int = 100) -> Iterator[LocalLinks]:
    """Give links that know of *held*, with none of them in memory."""
    outline = Outline(b"key")
    for link in held:
        outline.add(link)
    links = LocalLinks(LinkTable(b"key", near_max * (LINK_BYTES + 30)), path)
    links.table.renew(outline)
    yield links
    links.close()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have nobody else read *path* meanwhile, as when its disk does not answer."""
    connection = sqlite.connect(path)
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()
