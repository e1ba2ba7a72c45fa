"""Sources that answer nonsense: refused, reported, nothing moved, and the others unaffected."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.pulling import puller as puller_module
from key_server.destruction.guard import NUMBER_MAX
from milepost.tokens import HITS_READ
from milepost.vocabulary import Seq
from tests.aggregator.combined_world import Edge, FileOfBatches, World, a_record
from tests.aggregator.test_aggregator_set_aside import api

Spoil = Callable[[bytes], bytes]


class BadEdge:
    """A listener that spoils what an edge answers."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.spoil: Spoil = bytes
        self.cut = False
        self.url = ""

    async def pull(self, request: web.Request) -> web.StreamResponse:
        """Answer, but not well."""
        answer = await self.edge.pull(request)
        assert isinstance(answer.body, bytes)
        body = self.spoil(answer.body)
        if not self.cut:
            return web.Response(body=body, content_type="application/json")
        half = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.abort()
        return half


@pytest.fixture
async def bad(world: World) -> AsyncIterator[BadEdge]:
    """Return an edge that has one applied batch and two more."""
    edge = Edge("cdg", 77)
    stream = edge.begin()
    stream.add(world.epoch, [a_record(50)])
    spoiled = BadEdge(edge)
    async with AsyncExitStack() as stack:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/pull", spoiled.pull)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        stack.push_async_callback(server.close)
        edge.url = spoiled.url = f"http://127.0.0.1:{server.port}"
        assert await world.puller(edge).pull()
        for number in (51, 52):
            stream.add(world.epoch, [a_record(number)])
        yield spoiled


def first_half(body: bytes) -> bytes:
    """Return JSON that is cut off."""
    return body[: len(body) // 2]


def another_shape(body: bytes) -> bytes:
    """Return an answer whose batches are a number."""
    return orjson.dumps(orjson.loads(body) | {"batches": 7})


def a_negative_seq(body: bytes) -> bytes:
    """Return an answer of which one number is none."""
    answer = orjson.loads(body)
    answer["batches"][-1]["seq"] = -1
    return orjson.dumps(answer)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _body: b"\x00\xff nonsense",
        lambda _body: b"",
        lambda _body: b"[]",
        lambda _body: b"[" * 100_000,
        first_half,
        another_shape,
        a_negative_seq,
    ],
)
async def test_an_answer_that_is_none_is_refused_whole(
    world: World, bad: BadEdge, spoil: Spoil
) -> None:
    """Reported, asked ever more rarely, and nothing of it is taken; the next good one is."""
    bad.spoil = spoil
    puller = world.puller(bad.edge)
    pauses = [await puller.step() for _ in range(3)]
    refused = puller.last_error
    during = await _state(world)
    bad.spoil = bytes
    await puller.pull()

    assert refused
    assert 0 < pauses[0] < pauses[2]
    assert during == (1, 1)
    assert await _state(world) == (3, 3)


async def test_half_an_answer_is_none(world: World, bad: BadEdge) -> None:
    """The connection ends in the middle of it."""
    bad.cut = True
    puller = world.puller(bad.edge)
    await puller.step()
    refused = puller.last_error
    during = await _state(world)
    bad.cut = False
    await puller.pull()

    assert refused
    assert during == (1, 1)
    assert await _state(world) == (3, 3)


async def test_a_huge_answer_is_not_read_to_its_end(
    world: World, bad: BadEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would fill the memory is refused by its size."""
    monkeypatch.setattr(puller_module, "ANSWER_BYTES_MAX", 1 << 20)
    bad.spoil = lambda body: body[:-1] + b" " * (1 << 21) + b"}"
    puller = world.puller(bad.edge)

    await puller.step()

    assert "more than" in str(puller.last_error)
    assert await _state(world) == (1, 1)


async def test_batches_of_another_stream_are_refused(world: World, bad: BadEdge) -> None:
    """Under the announced name of this one they do not follow, and under their own nobody does."""
    other = FileOfBatches(bad.edge.begin().id, bad.edge.chance)
    bad.edge.streams.pop()
    for number in (60, 61, 62):
        other.add(world.epoch, [a_record(number)])
    stream = bad.edge.streams[0]
    moved = [replace(each, header=replace(each.header, stream=stream.id)) for each in other.batches]
    for batches in (moved, other.batches):
        answer = replace(bad.edge.answer({}), batches=tuple(batches))
        bad.edge.fault = answer.to_json()
        await world.puller(bad.edge).step()

        assert await _state(world) == (1, 1)
        assert await world.one("SELECT count(*) FROM damaged") == 0
    bad.edge.fault = None
    await world.puller(bad.edge).pull()

    assert await _state(world) == (3, 3)


async def test_a_chain_that_never_holds_is_refused(world: World, bad: BadEdge) -> None:
    """It is no damage: nothing proves that the stream goes on behind any of it."""
    stream = bad.edge.streams[0]
    written = list(stream.batches)
    for place in (1, 2):
        chain = struct.pack(">QQQQ", place, 0, 0, 0)
        stream.batches[place] = replace(written[place], chain=type(written[0].chain)(chain))
    puller = world.puller(bad.edge)
    await puller.step()

    assert await world.one("SELECT fault FROM stream") == "batch 2 does not follow the chain"
    assert await _state(world) == (1, 1)
    stream.batches[:] = written
    await puller.pull()
    assert await _state(world) == (3, 3)


async def test_promises_beyond_reason_stop_no_answer(
    world: World, bad: BadEdge, aiohttp_client: AiohttpClient
) -> None:
    """A damaged row may tell of any count, and what is told is summed over all streams."""
    bad.edge.begin()
    bad.edge.begin()
    answer = bad.edge.answer({})
    most = (1 << 63) - 1
    heads = (replace(head, last_seq=Seq(most), records=most) for head in answer.streams)
    bad.edge.fault = replace(answer, streams=tuple(heads), batches=()).to_json()
    puller = world.puller(bad.edge)
    await puller.pull()
    bad.edge.fault = {"detail": "away"}
    await puller.step()
    client = await api(world, aiohttp_client, HITS_READ, pullers=[puller])
    asked = ("sources", "drained?epoch=7", "reconciliation", f"sources/abandon?source={bad.url}")
    answers = [await client.get(f"/v1/{path}") for path in asked]

    assert [each.status for each in answers] == [200] * 4
    assert (await answers[1].json())["clicks"] < NUMBER_MAX


async def test_the_others_are_unaffected(world: World, bad: BadEdge) -> None:
    """Both are asked side by side."""
    good = await world.add_edge("nrt")
    good.begin().add(world.epoch, [a_record(70)])
    bad.spoil = first_half
    pullers = [world.puller(bad.edge), world.puller(good)]

    pauses = await asyncio.gather(*(each.step() for each in pullers))

    assert pauses[0] > pauses[1] == 0
    assert "/spring?n=70" in await world.paths()


async def _state(world: World) -> tuple[int, int]:
    """Return the cursor of the stream in `cdg`, and how many hits there are."""
    seq = await world.one("SELECT seq FROM stream WHERE region = 'cdg'")
    return seq, len(await world.hits())
