"""`GET /v1/live` as those see it who follow: everything once, in its order, however often cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient

from aggregator.access.narrowing import Narrowing
from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance, Budget
from aggregator.asking.filters import read_filters
from aggregator.live import arrivals, stream
from aggregator.live.api import LIVE_CALLS
from aggregator.live.pieces import Bookmark, piece_after, resumed_bookmark, written_bookmark
from aggregator.metrics import LIVE_CUT
from aggregator.searching import store
from milepost.clock import SystemClock
from milepost.http import TOKENS, new_app
from milepost.openapi import Api, add_calls
from milepost.sqlite import Connection
from milepost.sse import Event, EventReader
from milepost.tokens import HITS_READ, Principal, TokenBook, token_hash
from tests.aggregator.combined_world import FileOfBatches, World, a_record
from tests.aggregator.test_aggregator_query import READ

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]
T = TypeVar("T")


class Regions:
    """One edge whose batches are pulled as they are written."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stream: FileOfBatches | None = None
        self.told = 0

    async def hits(self, count: int, **changes: str) -> None:
        """Let so many hits arrive together."""
        if self._stream is None:
            self._edge = await self._world.add_edge()
            self._stream = self._edge.begin()
        numbers = range(self.told, self.told + count)
        self._stream.add(self._world.epoch, [a_record(each, **changes) for each in numbers])
        self.told += count
        await self._world.puller(self._edge).pull()


class CountingAsker(Asker):
    """Counts what is asked of the database."""

    asked = 0

    async def ask(
        self, work: Callable[[Connection, Budget], T], *, allowance: Allowance | None = None
    ) -> T:
        """Ask."""
        self.asked += 1
        return await super().ask(work, allowance=allowance)


@pytest.fixture
def regions(world: World) -> Regions:
    """Return where hits come from."""
    return Regions(world)


@pytest.fixture
def asker(world: World) -> CountingAsker:
    """Return what asks the database."""
    return CountingAsker(world.queries)


@pytest.fixture
async def client(world: World, asker: Asker, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has no hits yet."""
    book = TokenBook([(token_hash("reader"), Principal("reader", frozenset({HITS_READ})))])
    return await aiohttp_client(serving(world, asker, book, TaggedLinks(None, SystemClock())))


def serving(
    world: World, asker: Asker, book: TokenBook, tagged: TaggedLinks, **more: Callable[[], int]
) -> web.Application:
    """Return what serves nothing but live hits."""
    app = new_app(bytes, book)
    clock = SystemClock()
    handlers = stream.live_handlers(app, asker, lambda: world.store.commits, clock, tagged, **more)
    add_calls(app, Api(title="live", version="0", calls=LIVE_CALLS), handlers)
    return app


class Seeing(TaggedLinks):
    """Knows what is seen of all hits, and can change its mind."""

    def __init__(self, seen: Narrowing) -> None:
        super().__init__(None, SystemClock())
        self.seen = seen

    async def narrowing(self, who: Principal) -> Narrowing:
        """Return what everybody sees."""
        del who
        return self.seen


async def events(answer: ClientResponse) -> AsyncIterator[Event]:
    """Give every event, also those that only move the bookmark, which have no name here."""
    reader = EventReader()
    async for line in answer.content:
        raw = line.removesuffix(b"\n")
        if raw.startswith(b"id: "):
            bookmark = raw.removeprefix(b"id: ").decode()
            following = (await answer.content.readline()).removesuffix(b"\n")
            if not following:
                yield Event("", b"", bookmark)
            reader.take(raw)
            raw = following
        if event := reader.take(raw):
            yield event


@asynccontextmanager
async def follow(
    client: Client, query: str = "", last: str = ""
) -> AsyncIterator[tuple[str, AsyncIterator[Event]]]:
    """Follow; return the bookmark at the beginning, and the events."""
    headers = {**READ, **({"Last-Event-ID": last} if last else {})}
    async with client.get(f"/v1/live{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        found = events(answer)
        first = await anext(found)
        assert first.name == ""
        yield first.id, found


async def hits(found: AsyncIterator[Event], count: int) -> tuple[list[int], str]:
    """Return the numbers of so many hits, and the id of the last."""
    numbers: list[int] = []
    last = ""
    while len(numbers) < count:
        event = await anext(found)
        if event.name:
            assert event.name == "hit", event
            numbers.append(int(orjson.loads(event.data)["path"].rpartition("=")[2]))
            last = event.id
    return numbers, last


async def until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0.02)


async def test_hits_are_told_as_they_arrive(client: Client, regions: Regions) -> None:
    """In their order, from now on, and only those that are wanted."""
    await regions.hits(3)
    async with (
        follow(client) as (_, all_of),
        follow(client, "?region=cdg&kind=!orphan") as (_, few),
    ):
        await regions.hits(4)
        await regions.hits(2, region="cdg")
        assert (await hits(all_of, 6))[0] == [3, 4, 5, 6, 7, 8]
        assert (await hits(few, 2))[0] == [7, 8]


async def test_whoever_comes_back_misses_nothing(client: Client, regions: Regions) -> None:
    """Wherever it was cut, also within a batch, and whatever came meanwhile."""
    async with follow(client) as (begin, _):
        pass
    last, seen = begin, []
    for take in (1, 7, 2, 30, 600, 5):
        await regions.hits(take + 3)
        async with follow(client, last=last) as (_, found):
            numbers, last = await hits(found, take)
            seen += numbers
    async with follow(client, last=last) as (_, found):
        seen += (await hits(found, regions.told - len(seen)))[0]
        assert seen == [*range(regions.told)]


async def test_a_bookmark_moves_without_hits(
    client: Client, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat carries it, so that a rare filter need not search it all again."""
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with follow(client, "?region=nrt") as (begin, found):
        await regions.hits(5)
        event = await anext(found)
        while event.id == begin:
            event = await anext(found)
        assert event.name == ""
        assert event.id > begin


async def test_one_reader_feeds_all(client: Client, regions: Regions, asker: CountingAsker) -> None:
    """Ten who follow ask the database no more often than one would."""
    async with follow(client) as (_, first):
        await regions.hits(1)
        assert (await hits(first, 1))[0] == [0]
        followers = [follow(client) for _ in range(10)]
        found = [(await each.__aenter__())[1] for each in followers]
        await regions.hits(1)
        for each in (first, *found):
            assert (await hits(each, 1))[0] == [1]
        asked = asker.asked
        for number in range(2, 12):
            await regions.hits(1)
            for each in (first, *found):
                assert (await hits(each, 1))[0] == [number]
        assert asker.asked - asked < 100  # 110 would be one each
        for follower in followers:
            await follower.__aexit__(None, None, None)


async def test_what_is_erased_is_not_told_out_of_memory(
    world: World, regions: Regions, asker: CountingAsker, aiohttp_client: Connect
) -> None:
    """Whoever comes back from before a rule gets what is in the database now."""
    book = TokenBook([(token_hash("reader"), Principal("reader", frozenset({HITS_READ})))])
    tagged, rules = TaggedLinks(None, SystemClock()), [0]
    app = serving(world, asker, book, tagged, erased=lambda: rules[0])
    client = await aiohttp_client(app)
    async with follow(client) as (begin, found):
        await regions.hits(3)
        assert (await hits(found, 3))[0] == [0, 1, 2]
        await world.writer.transact(lambda db: db.execute("DELETE FROM hit WHERE idx < 2"))
        rules[0] += 1
        async with follow(client, last=begin) as (_, again):
            assert (await hits(again, 1))[0] == [2]
        await regions.hits(2)
        assert (await hits(found, 2))[0] == [3, 4]


async def test_a_search_that_ended_early_can_be_gone_on_with(
    world: World, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the budget ended between two hits, what is told of the place leads back to it."""
    monkeypatch.setattr(store, "BLOCK_HITS", 2)
    await regions.hits(2, region="dfw")
    await regions.hits(2, region="cdg")
    filters = read_filters({"region": ["cdg"]})
    begin = Bookmark(0, 0)

    def ask(db: Connection, budget: Budget) -> None:
        first = piece_after(db, begin, replace(budget, rows=1), filters)
        told = written_bookmark(first.generation, first.end)
        rest = piece_after(db, resumed_bookmark(db, told), budget, filters)
        assert (first.arrivals, first.more) == ([], True)
        assert begin < first.end
        assert len(rest.arrivals) == 2

    await Asker(world.queries).ask(ask)


async def test_little_is_kept_and_nothing_lost(
    client: Client, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is behind what is kept in memory reads the database."""
    monkeypatch.setattr(arrivals, "ROWS_MAX", 3)
    monkeypatch.setattr(arrivals, "BYTES_MAX", 900)
    async with follow(client) as (begin, found):
        for _ in range(5):
            await regions.hits(20)
        assert (await hits(found, 100))[0] == [*range(100)]
        async with follow(client, last=begin) as (_, again):
            assert (await hits(again, 100))[0] == [*range(100)]


async def test_a_stream_ends_with_its_token(
    client: Client, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more is told once it is revoked, and the last event says why."""
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with follow(client) as (_, found):
        await regions.hits(1)
        await hits(found, 1)
        client.app[TOKENS]._entries = ()
        await regions.hits(1)
        rest = [event async for event in found if event.name]

    assert [event.name for event in rest] == ["end"]
    assert orjson.loads(rest[0].data)["code"] == "unauthorized"


async def test_who_does_not_read_is_cut(
    client: Client, regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up nobody, and goes on later where it was."""
    monkeypatch.setattr(stream, "SEND_SECONDS_MAX", 0.2)
    before = LIVE_CUT._value.get()
    async with follow(client) as (begin, _), follow(client) as (_, reading):
        for _ in range(14):
            await regions.hits(500, agent="x" * 1_500)
            await hits(reading, 500)
        await until(lambda: LIVE_CUT._value.get() > before)
    monkeypatch.setattr(stream, "SEND_SECONDS_MAX", 30)
    async with follow(client, last=begin) as (_, again):
        assert (await hits(again, regions.told))[0] == [*range(regions.told)]


async def test_refusals(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each before anything is told."""

    async def status(query: str = "", last: str = "", *, known: bool = True) -> int:
        headers = {**(READ if known else {}), "Last-Event-ID": last}
        async with client.get(f"/v1/live{query}", headers=headers) as answer:
            return answer.status

    async with follow(client) as (begin, _):
        generation, batch, idx = begin.split(".")
        assert await status(known=False) == 401
        assert await status("?limit=1") == 400
        assert await status("?status=x") == 400
        assert await status(last="17") == 400
        assert await status(last=f"{int(generation) - 1}.{batch}.{idx}") == 409
        assert await status(last=f"{generation}.{int(batch) + 1}.0") == 409
        monkeypatch.setattr(stream, "OF_ONE_TOKEN_MAX", 1)
        assert await status() == 429
        monkeypatch.setattr(stream, "SUBSCRIBERS_MAX", 1)
        assert await status() == 503


async def test_a_service_that_stops_ends_its_streams(client: Client) -> None:
    """At once: it need not wait for those who follow."""
    async with follow(client) as (_, found):
        async with asyncio.timeout(5):
            await client.app.shutdown()
            assert [event async for event in found if event.name] == []


async def test_what_a_token_may_see_can_change(
    world: World, regions: Regions, asker: CountingAsker, aiohttp_client: Connect
) -> None:
    """A stream that is open goes by what holds now, not by what held when it began."""
    seeing = Seeing(Narrowing(hosts=frozenset({"a.example"})))
    book = TokenBook([(token_hash("reader"), Principal("reader", frozenset({HITS_READ})))])
    client = await aiohttp_client(serving(world, asker, book, seeing))
    async with follow(client) as (_, found):
        await regions.hits(1)
        await regions.hits(1, host="b.example")
        await regions.hits(1)
        assert (await hits(found, 2))[0] == [0, 2]
        seeing.seen = Narrowing(hosts=frozenset({"b.example"}))
        await regions.hits(1)
        await regions.hits(1, host="b.example")
        assert (await hits(found, 1))[0] == [4]
