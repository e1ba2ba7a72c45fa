"""How soon after its answer a click can be queried."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import aiohttp

from milepost.client import Client
from milepost.config import Secret
from tests.log.combined import QUERY_TOKEN, second_edge
from tests.log.kit import Service, World, visitors

LOOK_SECONDS = 0.02
SINCE = "/v1/hits?limit=10000&start="
GIVE_UP_SECONDS = 30.0


class Click(NamedTuple):
    """When a click began, by the clock, and when it was answered."""

    begun: datetime
    answered: float


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds from a click's answer until it was among the hits, in order."""

    seconds: tuple[float, ...]
    missing: int  # not to be queried in all the time there was

    def percentile(self, share: float) -> float:
        """Return what *share* of the clicks did not exceed."""
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * share))]


def in_region(running: World, region: str) -> World:
    """Return an edge of another region beside that of *running*, not started yet."""
    other = second_edge(running, region)
    env = other.edge.env | {"MILEPOST_REGION": region}
    return replace(other, edge=replace(other.edge, env=env))


async def freshness(
    edges: Sequence[World], service: Service, *, clicks: int, pause_seconds: float, name: str
) -> Freshness:
    """Click at the *edges* in turn, gently; look how soon each click can be queried."""
    pending: dict[str, Click] = {}
    seconds: list[float] = []
    over = asyncio.Event()
    url = f"http://127.0.0.1:{service.private_port}"
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(visitors())
        client = await stack.enter_async_context(Client.connect(url, Secret(QUERY_TOKEN)))
        looking = asyncio.create_task(_look(client, pending, seconds, over))
        for number in range(clicks):
            path = f"/e/target.example/{name}/{number}"
            pending[path] = await _click(session, edges[number % len(edges)].url + path)
            await asyncio.sleep(pause_seconds)
        over.set()
        await looking
    return Freshness(tuple(sorted(seconds)), len(pending))


async def _click(session: aiohttp.ClientSession, url: str) -> Click:
    begun = datetime.now(UTC)
    async with session.get(url, allow_redirects=False) as response:
        assert response.status == 302
        return Click(begun, time.monotonic())


async def _look(
    client: Client, pending: dict[str, Click], seconds: list[float], over: asyncio.Event
) -> None:
    """Move what can be queried from *pending* to *seconds*, until nothing more is to come."""
    left = GIVE_UP_SECONDS
    while not over.is_set() or (pending and left > 0):
        for oldest in list(pending.values())[:1]:
            since = oldest.begun.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            answer = await client.get(SINCE + since)
            moment = time.monotonic()
            found = pending.keys() & {hit["path"] for hit in answer["hits"]}
            seconds += [moment - pending.pop(path).answered for path in found]
        left -= LOOK_SECONDS if over.is_set() else 0
        await asyncio.sleep(LOOK_SECONDS)
