"""A registry and three regions as processes, a wire between it and each, and steady visitors."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import ServiceError
from milepost.links import FeedPlace, Link
from tests.edge.links_fleet import fill, registry_of
from tests.edge.links_histories_model import State, held_in
from tests.edge.links_wire import Wire
from tests.edge.links_world import a_link
from tests.log.fresh import in_region
from tests.log.kit import OPERATOR_TOKEN, Service, World, free_port, visitors, world

NAMES = ("dfw", "cdg", "nrt")
LINKS = 4_000  # about twice as many as there is memory for
MEMORY_MB = "1"
PAUSE_SECONDS = 0.03
SECONDS_MAX = 90.0
# One database answers both questions of the same moment, so that they can be compared.
PLACE = "SELECT history, (SELECT coalesce(max(position), 0) FROM change) FROM meta"


def stable_links() -> list[Link]:
    """Return the links that nobody touches: literal ones and patterns."""
    literal = [
        a_link(f"s{n:09d}", f"/kept-{n}", destination=f"https://shop.example/{n}")
        for n in range(LINKS)
    ]
    patterns = [
        a_link(f"p{n:09d}", f"/docs-{n}/*", destination=f"https://docs.example/{n}/*")
        for n in range(20)
    ]
    return literal + patterns


@dataclass(slots=True)
class Visits:
    """What visitors to links that nobody touches got."""

    redirected: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Regions:
    """Everything that runs."""

    folder: Path
    registry: Service
    edges: list[World]
    wires: list[Wire]
    client: Client
    visits: list[Visits]
    session: aiohttp.ClientSession

    @property
    def database(self) -> Path:
        """Return where the registry's links are."""
        return self.folder / "registry" / "links.db"

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Ask the registry."""
        told: dict[str, Any] | None = await self.client.call(method, path, body=body)
        return told or {}

    async def create(self, path: str, **fields: Any) -> str:
        """Make a link; return its id."""
        body = {"path": path, "destination": f"https://made.example{path}"} | fields
        link_id: str = (await self.call("POST", "/v1/links", body))["link"]["id"]
        return link_id

    async def answers(self, path: str) -> list[tuple[int, str]]:
        """Return what a visitor to *path* gets in each region: status, and where to."""
        found = []
        for edge in self.edges:
            async with self.session.get(edge.url + path, allow_redirects=False) as answer:
                found.append((answer.status, answer.headers.get("Location", "")))
        return found

    async def statuses(self, path: str) -> list[int]:
        """Return with which status each region answers at *path*."""
        return [status for status, _ in await self.answers(path)]

    async def until(self, path: str, statuses: Sequence[int]) -> None:
        """Return once the regions answer so at *path*."""
        await until(lambda: self._answer(path, statuses), f"{path}: {statuses}")

    async def _answer(self, path: str, statuses: Sequence[int]) -> bool:
        return await self.statuses(path) == list(statuses)

    def table(self) -> tuple[FeedPlace | None, State]:
        """Return the registry's table, and its place."""
        return held_in(self.database, PLACE)

    def replica(self, number: int) -> tuple[FeedPlace | None, State]:
        """Return what a region's replica holds, and of which place."""
        return held_in(self.edges[number].data / "links.db")

    async def equal(self) -> State:
        """Return the registry's table once every replica is the same, place and all."""

        async def are_equal() -> bool:
            table = self.table()
            return all(self.replica(number) == table for number in range(len(self.edges)))

        await until(are_equal, "every replica equals the table")
        return self.table()[1]

    def pause(self) -> None:
        """Have the registry do nothing at all, with all its connections open."""
        assert self.registry.process is not None
        os.kill(self.registry.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on."""
        assert self.registry.process is not None
        os.kill(self.registry.process.pid, signal.SIGCONT)

    async def start_registry(self) -> None:
        """Start the registry again."""
        self.registry.start()
        await asyncio.to_thread(self.registry.wait_live)

    @contextlib.asynccontextmanager
    async def edited(self) -> AsyncIterator[None]:
        """Edit links meanwhile, whatever comes of it."""
        task = asyncio.create_task(self._edit())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _edit(self) -> None:
        chance, made = Random(1), list[str]()
        for number in itertools.count():
            with contextlib.suppress(ServiceError):
                if len(made) > 30:
                    gone = made.pop(chance.randrange(len(made)))
                    await self.call("DELETE", f"/v1/links/{gone}")
                elif made and number % 2:
                    change = {"destination": f"https://edited.example/{number}"}
                    await self.call("PATCH", f"/v1/links/{chance.choice(made)}", change)
                else:
                    made.append(await self.create(f"/edited-{number}"))
            await asyncio.sleep(0.02)


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once *holds* does."""
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while not await holds():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(what) from None


async def _visit(session: aiohttp.ClientSession, url: str, visits: Visits, seed: int) -> None:
    """Click steadily at links that nobody touches: each gets its very redirect, always."""
    chance = Random(seed)
    while True:
        number = chance.randrange(LINKS)
        path, leads_to = f"/kept-{number}", f"https://shop.example/{number}"
        if number % 5 == 0:
            rest = f"{number % 20}/page-{number}"
            path, leads_to = f"/docs-{rest}", f"https://docs.example/{rest}"
        try:
            async with session.get(url + path, allow_redirects=False) as answer:
                got = f"{answer.status} {answer.headers.get('Location')}"
        except (aiohttp.ClientError, TimeoutError) as error:
            got = repr(error)
        visits.redirected += 1
        if got != f"302 {leads_to}":
            visits.wrong.append(f"{path}: {got}")
        await asyncio.sleep(PAUSE_SECONDS)


@contextlib.contextmanager
def _edges(first: World) -> Iterator[list[World]]:
    """Run an edge in each region."""
    found = [first, *(in_region(first, name) for name in NAMES[1:])]
    try:
        yield found
    finally:
        for each in found:
            each.edge.kill()


@contextlib.asynccontextmanager
async def regions(
    folder: Path, beside: Callable[[Service], contextlib.AbstractAsyncContextManager[Any]]
) -> AsyncIterator[Regions]:
    """Run a registry, with what stands *beside* it, and three regions that have its links.

    Visitors click in each region all the time, and all of them got their redirect.
    """
    await fill(folder / "registry" / "links.db", stable_links())
    port = free_port()
    async with AsyncExitStack() as stack:
        first = stack.enter_context(world(folder, LINKS_MEMORY_MB=MEMORY_MB))
        registry = stack.enter_context(registry_of(folder, port))
        registry.stop()
        await stack.enter_async_context(beside(registry))
        registry.start()
        await asyncio.to_thread(registry.wait_live)
        edges = stack.enter_context(_edges(first))
        wires = [await stack.enter_async_context(Wire(lambda: port).running()) for _ in edges]
        for edge, wire in zip(edges, wires, strict=True):
            edge.edge.env["MILEPOST_LINKS_URL"] = wire.url
            edge.edge.start()
            await asyncio.to_thread(edge.edge.wait_live)
        session = await stack.enter_async_context(visitors())
        client = await stack.enter_async_context(
            Client.connect(f"http://127.0.0.1:{port}", Secret(OPERATOR_TOKEN))
        )
        found = Regions(folder, registry, edges, wires, client, [Visits() for _ in edges], session)
        await found.until("/last", [302] * len(edges))
        tasks = [
            asyncio.create_task(_visit(session, edge.url, visits, seed))
            for seed, (edge, visits) in enumerate(zip(edges, found.visits, strict=True))
        ]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for visits in found.visits:
            assert not visits.wrong, visits.wrong[:5]
            assert visits.redirected
