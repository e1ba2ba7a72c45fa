"""`GET /v1/drained`: what still needs an epoch's record key."""

from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.opening.batches import RecordKey
from aggregator.pulling.puller import Puller
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.sweeping import Sweeper
from milepost.sqlite import Connection
from milepost.tokens import DRAINED, HITS_READ, PULL, Principal, TokenBook, token_hash
from milepost.vocabulary import Epoch, Millis
from tests.aggregator.combined_world import DAY_MS, START, World, a_record

END = START + DAY_MS  # of epoch 7
SCOPES = {"keys": DRAINED, "reader": HITS_READ, "other": PULL}


async def api(
    world: World,
    aiohttp_client: AiohttpClient,
    *pullers: Puller,
    sources: Sources | None = None,
    sweeper: Sweeper | None = None,
) -> TestClient[Any, Any]:
    """Return a client of the aggregator that pulls with *pullers*."""
    book = TokenBook(
        (token_hash(name), Principal(name, frozenset({scope}))) for name, scope in SCOPES.items()
    )
    app = build_app(
        tokens=book,
        readers=world.readers,
        store=world.store,
        keyring=world.keyring,
        sources=Sources(pullers) if sources is None else sources,
        reckoner=Reckoner(world.readers),
        clock=world.clock,
        entropy=Random(5).randbytes,
        asker=Asker(world.queries),
        forgetting=world.forgetting(),
        sweeper=sweeper,
    )
    client: TestClient[Any, Any] = await aiohttp_client(app)
    return client


async def ask(client: TestClient[Any, Any], token: str = "keys", **params: Any) -> Any:
    """Return the answer about epoch 7, unless another is asked for."""
    params = {"epoch": 7, **params}
    query = {name: str(value) for name, value in params.items()}
    headers = {"Authorization": f"Bearer {token}"}
    async with client.get("/v1/drained", params=query, headers=headers) as response:
        return await response.json()


async def test_an_epoch_is_drained_when_all_have_answered_since(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Its end, its grace, and everything that was announced; not a moment earlier."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    puller = world.puller(edge)
    client = await api(world, aiohttp_client, puller)
    never = await ask(client)
    await puller.pull()
    early = await ask(client)
    world.clock.moment = END + 999
    await puller.pull()
    in_grace = await ask(client, grace_ms=1_000)
    world.clock.moment = END + 1_000
    await puller.pull()
    late = await ask(client, grace_ms=1_000)

    assert [each["drained"] for each in (never, early, in_grace, late)] == [False] * 3 + [True]
    assert "has not answered since" in early["reasons"][0]
    assert late == {
        "epoch": 7,
        "now_ms": END + 1_000,
        "drained": True,
        "clicks": 0,
        "set_aside": 0,
        "reasons": [],
        "streams": [],
    }


async def test_what_waits_sealed_needs_the_key(world: World, aiohttp_client: AiohttpClient) -> None:
    """Until it is opened; another epoch is not held up by it."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1), a_record(2)])
    puller = world.puller(edge)
    world.keys.down = True
    world.clock.moment = END + 2 * DAY_MS
    await puller.pull()
    client = await api(world, aiohttp_client, puller)
    sealed, other = await ask(client), await ask(client, epoch=8)
    world.keys.down = False
    await world.clock.sleep(5)
    await world.late.step()
    opened = await ask(client)

    assert (sealed["drained"], sealed["clicks"]) == (False, 2)
    assert "wait sealed" in sealed["reasons"][0]
    assert (other["drained"], other["clicks"]) == (True, 0)
    assert opened["drained"]


async def test_what_was_announced_and_is_not_there_may_need_the_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Whatever it is sealed to, if its stream was begun before the epoch settled."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number), a_record(number)])
    edge.limit = 1
    puller = world.puller(edge)
    world.clock.moment = END + DAY_MS
    await puller.pull()
    client = await api(world, aiohttp_client, puller)
    behind = await ask(client)
    before = await ask(client, epoch=3, end_ms=START - DAY_MS)
    edge.limit = 10
    await puller.pull()
    after = await ask(client)

    assert (behind["drained"], behind["clicks"]) == (False, 4)
    assert behind["streams"] == [{"stream": stream.id.hex(), "source": edge.url, "records": 4}]
    assert (before["drained"], before["clicks"]) == (True, 0)
    assert after["drained"]


async def test_a_source_that_lost_its_stream_holds_the_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """What it had promised may come back with a copy."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(2):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 1
    puller = world.puller(edge)
    world.clock.moment = END + DAY_MS
    await puller.pull()
    edge.streams.clear()
    await puller.pull()

    told = await ask(await api(world, aiohttp_client, puller))

    assert (told["drained"], told["clicks"]) == (False, 1)


async def test_a_fork_holds_what_nobody_has_seen(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Until its file has been read to its end, although nothing that was promised is missing."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    puller = world.puller(edge)
    await puller.pull()
    stream.batches.clear()
    stream.add(world.epoch, [a_record(2)])
    world.clock.moment = END + DAY_MS
    await puller.pull()

    forked = await ask(await api(world, aiohttp_client, puller))
    await puller.pull()
    read = await ask(await api(world, aiohttp_client, puller))

    assert (forked["drained"], forked["clicks"]) == (False, 1)
    assert (read["drained"], read["clicks"]) == (True, 0)


async def test_one_silent_source_is_enough(world: World, aiohttp_client: AiohttpClient) -> None:
    """And so is a file that its edge cannot read."""
    talks, silent = await world.add_edge("dfw"), await world.add_edge("cdg")
    world.clock.moment = END + DAY_MS
    pullers = [world.puller(talks), world.puller(silent)]
    await pullers[0].pull()
    client = await api(world, aiohttp_client, *pullers)
    one = await ask(client)
    await pullers[1].pull()
    both = await ask(client)
    pullers[1].unreadable = ("x.db",)
    broken = await ask(client)

    assert [each["drained"] for each in (one, both, broken)] == [False, True, False]
    assert one["reasons"] == [f"{silent.url} has not answered since the epoch settled"]


async def test_who_may_ask(world: World, aiohttp_client: AiohttpClient) -> None:
    """The key server's own scope, or who may read hits."""
    client = await api(world, aiohttp_client)

    assert (await ask(client, "keys"))["drained"]
    assert (await ask(client, "reader"))["drained"]
    assert (await ask(client, "other"))["status"] == 403


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"epoch": "seven"}, 400),
        ({"epoch": ""}, 400),
        ({"epoch": -1}, 400),
        ({"grace_ms": "x"}, 400),
        ({"end_ms": "1e9"}, 400),
        ({"epoch": 99}, 404),
    ],
)
async def test_what_is_no_question_is_refused(
    world: World, aiohttp_client: AiohttpClient, params: dict[str, Any], status: int
) -> None:
    """An epoch that is not in the list needs its end."""
    client = await api(world, aiohttp_client)

    assert (await ask(client, **params))["status"] == status
    assert (await ask(client, epoch=99, end_ms=START))["drained"]


async def test_a_key_that_left_the_list_is_forgotten(world: World) -> None:
    """The signed list says that it was destroyed; whoever asks afterwards finds it gone."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    await world.puller(edge).pull()
    assert list(world.keyring._keys) == [7]

    del world.keys.epochs[7]
    await world.keyring.watch()

    assert world.keyring._keys == {}
    assert world.keyring.end_of(world.keys.epochs[8].public.number) == Millis(END + DAY_MS)


async def test_a_key_that_came_beside_a_newer_list_is_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was on its way when its epoch was destroyed, and the list overtook it."""
    fetch = world.keyring._fetch

    async def overtaken(epoch: Epoch) -> RecordKey:
        key = await fetch(epoch)
        del world.keys.epochs[7]
        await world.keyring.watch()
        return key

    monkeypatch.setattr(world.keyring, "_fetch", overtaken)
    found = await world.keyring.keys([Epoch(7)])

    assert isinstance(found[Epoch(7)], RecordKey)
    assert world.keyring._keys == {}


async def set_source(world: World, url: str, **columns: int) -> None:
    """Write *columns* into the row of a source, as other parts of the aggregator do."""
    names = ", ".join(f"{name} = ?" for name in columns)

    def work(db: Connection) -> None:
        db.execute(f"UPDATE source SET {names} WHERE url = ?", (*columns.values(), url))

    await world.writer.transact(work)


async def set_streams(world: World, column: str) -> None:
    """Write a moment into a column of every stream."""
    await world.writer.transact(lambda db: db.execute(f"UPDATE stream SET {column} = 1").rowcount)


async def test_a_stream_under_load_holds_no_key_for_long(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Never at its end: what was committed before the epoch settled is enough."""
    edge = await world.add_edge()
    stream = edge.begin()
    edge.limit = 2
    puller = world.puller(edge)
    client = await api(world, aiohttp_client, puller)
    drained, behind = [], []
    world.clock.moment = END - 10_000
    for number in range(8):
        for _ in range(3 if number == 0 else 2):
            stream.add(world.epoch, [a_record(number)])
        await puller.pull()
        told = await ask(client)
        drained.append(told["drained"])
        behind.append(len(told["streams"]))
        world.clock.moment += 4_000

    assert await world.one("SELECT last_seq - seq FROM stream") == 1
    # Settled between the third answer and the fourth, whose mark the fifth answer passes.
    assert drained == [False] * 4 + [True] * 4
    assert behind == [1] * 4 + [0] * 4


async def test_after_a_restart_marks_are_set_again(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """A stream that is behind holds the key until its cursor has passed the first."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 2
    world.clock.moment = END + 1
    await world.puller(edge).pull()
    await world.restart()
    puller = world.puller(edge)
    client = await api(world, aiohttp_client, puller)
    drained = [(await ask(client))["drained"]]
    for _ in range(2):
        stream.add(world.epoch, [a_record(9)])
        stream.add(world.epoch, [a_record(9)])
        edge.limit = 1
        await puller.pull()
        drained.append((await ask(client))["drained"])
    edge.limit = 3
    await puller.pull()
    drained.append((await ask(client))["drained"])

    assert drained == [False, False, False, True]


async def test_who_is_gone_holds_what_it_has_not_answered_for(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Until its streams were read from their replicas, or it is written off."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    await world.puller(edge).pull()
    client = await api(world, aiohttp_client)
    await set_source(world, edge.url, gone_ms=START, asked_ms=END - 1)
    early = await ask(client)
    await set_source(world, edge.url, asked_ms=END)
    answered = await ask(client)
    await set_source(world, edge.url, asked_ms=END - 1)
    await set_streams(world, "swept_ms")
    swept = await ask(client)
    await world.writer.transact(lambda db: db.execute("UPDATE stream SET swept_ms = NULL").rowcount)
    await set_source(world, edge.url, abandoned_ms=START)
    abandoned = await ask(client)

    assert early["reasons"] == [f"{edge.url} is gone and has not answered since the epoch settled"]
    assert [each["drained"] for each in (answered, swept, abandoned)] == [True] * 3


@pytest.mark.parametrize("column", ["abandoned_ms", "swept_ms"])
async def test_a_stream_that_was_written_off_or_swept_holds_nothing(
    world: World, aiohttp_client: AiohttpClient, column: str
) -> None:
    """By hand whoever has it; swept once nobody has it any more."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(2):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 1
    puller = world.puller(edge)
    world.clock.moment = END + DAY_MS
    await puller.pull()
    client = await api(world, aiohttp_client, puller)
    await set_streams(world, column)
    present = await ask(client)
    edge.streams.clear()
    await puller.pull()
    absent = await ask(client)

    assert present["drained"] is (column == "abandoned_ms")
    assert absent["drained"]
