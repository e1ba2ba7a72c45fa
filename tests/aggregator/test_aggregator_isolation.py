"""Sources are pulled side by side: whatever one does, the others' clicks arrive."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from aggregator.app import unready
from aggregator.discovery import names as names_module
from aggregator.discovery.names import Names, PrivateResolver
from aggregator.pulling import puller as puller_module
from milepost import client as client_module
from milepost.client import new_session
from milepost.http import new_app
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.dns_world import Dnsmasq, Platform, needs_dnsmasq

REFUSES_CDG = """
    CREATE TRIGGER no_cdg BEFORE INSERT ON life WHEN new.region = 'cdg'
    BEGIN SELECT RAISE(ABORT, 'none of that'); END
"""
PIECE = b'{"source": {"region": "' + b"x" * 65_536


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return what is closed at the end."""
    async with AsyncExitStack() as found:
        yield found


async def trickle(request: web.Request) -> web.StreamResponse:
    """Answer a byte at a time, for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)
    return response


async def pour(request: web.Request) -> web.StreamResponse:
    """Answer without an end, as fast as it goes."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(PIECE)
    return response


async def hang(request: web.Request) -> web.Response:
    """Never answer."""
    await asyncio.sleep(60)
    return web.Response()


def telling(body: bytes) -> Any:
    """Return what answers with *body*."""

    async def tell(request: web.Request) -> web.Response:
        return web.Response(body=body)

    return tell


FOUL = {
    "hangs": hang,
    "trickles": trickle,
    "pours": pour,
    "no JSON": telling(b"\xff\x00"),
    "nested": telling(b"[" * 100_000),
    "another answer": telling(b'{"source": []}'),
    "half a character": telling(b'{"source": {"region": "\\ud800"}}'),
}


async def add_foul(world: World, answer: Any) -> str:
    """Start a source that answers as *answer* does; return its url."""
    app = new_app(bytes)
    app.router.add_post("/v1/pull", answer)
    return await world._serve(app)


async def test_no_source_delays_another(
    world: World, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs, one that trickles, some that answer nonsense; the healthy one is quick."""
    monkeypatch.setattr(client_module, "TOTAL_SECONDS", 0.2)
    monkeypatch.setattr(puller_module, "WAIT_MS", 100)
    platform = Platform(world, stack)
    foul = [await add_foul(world, answer) for answer in FOUL.values()]
    edge = await world.add_edge()
    edge.holds = True
    stream = edge.begin()
    await platform.keeper(None, *foul, edge.url)
    platform.run()
    for number in range(1, 11):
        begun = time.monotonic()
        stream.add(world.epoch, [a_record(number)])
        edge.news.set()
        assert len(await platform.paths(number)) == number
        assert time.monotonic() - begun < 1
    await asyncio.sleep(0.5)

    reasons = unready(world.keyring, platform.sources)
    assert sorted(reasons) == sorted(foul)
    assert "has not answered since the start" not in reasons.values()


async def test_what_nobody_foresaw_fails_one_source_alone(
    world: World, stack: AsyncExitStack
) -> None:
    """What the database would not take is the trouble of who sent it."""
    platform = Platform(world, stack)
    odd, edge = await world.add_edge("cdg"), await world.add_edge()
    odd.holds = edge.holds = True
    odd.begin().add(world.epoch, [a_record(1)])
    await world.writer.transact(lambda db: db.execute(REFUSES_CDG).rowcount)
    edge.begin().add(world.epoch, [a_record(7)])
    await platform.keeper(None, odd.url, edge.url)
    platform.run()
    first, second = platform.sources
    ends = time.monotonic() + 5
    while (first.last_error, second.last_error) != ("IntegrityError", None):
        assert time.monotonic() < ends, (first.last_error, second.last_error)
        await asyncio.sleep(0.01)

    assert await world.paths() == ["/spring?n=7"]


@pytest.mark.parametrize(
    ("answer", "reason"), [(trickle, "TimeoutError"), (pour, "more than 1000000 bytes")]
)
async def test_one_pull_is_bounded_in_time_and_bytes(
    world: World, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    """Also when something arrives all the time."""
    monkeypatch.setattr(client_module, "TOTAL_SECONDS", 0.2)
    monkeypatch.setattr(puller_module, "WAIT_MS", 0)
    monkeypatch.setattr(puller_module, "ANSWER_BYTES_MAX", 1_000_000)
    platform = Platform(world, stack)
    await platform.keeper(None, await add_foul(world, answer))
    (puller,) = platform.sources
    begun = time.monotonic()
    await puller.step()

    assert time.monotonic() - begun < 2
    assert reason in (puller.last_error or "")


class Others(AbstractResolver):
    """Knows no name, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Note the name."""
        self.asked.append(host)
        return []

    async def close(self) -> None:
        """Hold nothing."""


@needs_dnsmasq
async def test_other_names_are_found_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And private ones by the DNS alone, in IPv6, or not at all."""
    monkeypatch.setattr(names_module, "ANSWER_SECONDS", 0.1)
    dnsmasq = Dnsmasq(tmp_path)
    dnsmasq.tell({"m1": "127.0.0.2"})

    others = Others()
    resolver = PrivateResolver(Names(dnsmasq.server), others)
    try:
        (found,) = await resolver.resolve("m1.vm.edges.internal", 8081)
        assert (found["host"], found["port"]) == ("::ffff:7f00:2", 8081)
        assert await resolver.resolve("a.example") == []
        with pytest.raises(OSError, match="does not know it"):
            await resolver.resolve("m2.vm.edges.internal")
        dnsmasq.stop()
        async with new_session(resolver=resolver) as session:
            with pytest.raises(OSError, match="does not answer"):
                await session.get("http://m1.vm.edges.internal:1/")
        assert others.asked == ["a.example"]
    finally:
        dnsmasq.stop()
