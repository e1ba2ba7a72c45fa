"""What is set aside: single records beside their batch, and batches that are tried again."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.pulling.puller import Puller
from aggregator.reconciling.reckoner import Reckoner
from milepost.batch import Header
from milepost.record import RawRecord
from milepost.tokens import (
    HITS_READ,
    HITS_WRITE,
    QUERY_SCOPES,
    Principal,
    TokenBook,
    token_hash,
)
from milepost.vocabulary import BatchId, Millis, Scope, Seq
from tests.aggregator.combined_world import START, World, a_record, an_epoch

RAW = RawRecord(index=1, reason="TypeError: no", fields={"host": "?", "path": "/b"})


async def api(
    world: World,
    aiohttp_client: AiohttpClient,
    *scopes: Scope,
    pullers: Sequence[Puller] = (),
) -> TestClient[Any, Any]:
    """Return a client of the query API whose token has *scopes*."""
    book = TokenBook([(token_hash("t"), Principal("t", frozenset(scopes)))])
    app = build_app(
        tokens=book,
        readers=world.readers,
        store=world.store,
        keyring=world.keyring,
        sources=Sources(pullers),
        reckoner=Reckoner(world.readers),
        clock=world.clock,
        entropy=Random(5).randbytes,
        asker=Asker(world.queries),
        forgetting=world.forgetting(),
    )
    client: TestClient[Any, Any] = await aiohttp_client(app, headers={"Authorization": "Bearer t"})
    return client


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": Millis(1 << 60)}, "no moment before the year 10000"),
        ({"status": -1}, "no HTTP status"),
        ({"asn": -1}, "out of range"),
    ],
    ids=["beyond the calendar", "no status", "no ASN"],
)
async def test_what_cannot_be_told_is_set_aside_alone(
    world: World, changes: dict[str, Any], reason: str
) -> None:
    """A value that would break the database or an answer: kept as text; its batch is applied."""
    edge = await world.add_edge()
    records = [a_record(1), a_record(2, **changes), a_record(3)]
    edge.begin().add(world.epoch, records, first_ms=START, last_ms=START)

    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=1", "/spring?n=3"]
    assert reason in str(await world.one("SELECT reason FROM set_aside_records"))
    assert str(await world.one("SELECT id FROM set_aside_records")).endswith(":1")


async def test_a_raw_record_keeps_its_place(world: World) -> None:
    """The others are hits under the numbers they had on the edge, and all are tallied."""
    edge = await world.add_edge()
    batch = edge.begin().add(world.epoch, [a_record(0), a_record(2)], raw=[RAW])

    await world.puller(edge).pull()

    name = batch.header.batch.hex()
    assert await world.hits() == [(f"{name}:0", "/spring?n=0"), (f"{name}:2", "/spring?n=2")]
    assert await world.one("SELECT id FROM set_aside_records") == f"{name}:1"
    _, aside = await world.store.count_sealed()
    assert (aside.batches, aside.records) == (0, 1)


async def test_a_raw_record_that_comes_twice_counts_once(world: World) -> None:
    """The same batch in another stream, after a commit that seemed to fail."""
    edge = await world.add_edge()
    batch = edge.begin().add(world.epoch, [a_record(0)], raw=[RAW])
    edge.begin().add(world.epoch, [a_record(0)], raw=[RAW], batch=batch.header.batch)

    await world.puller(edge).pull()

    assert await world.one("SELECT count(*) FROM set_aside_records") == 1
    assert len(await world.hits()) == 1


async def test_what_is_set_aside_is_listed_with_its_reason(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Batches and records, and how many there are in all."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(0)], raw=[RAW])
    lost = stream.add(an_epoch(9, edge.chance), [a_record(1), a_record(2)])
    await world.puller(edge).pull()
    client = await api(world, aiohttp_client, *QUERY_SCOPES)

    told = await (await client.get("/v1/set-aside")).json()
    one_of_each = await (await client.get("/v1/set-aside?limit=1")).json()

    assert told["total"] == {"batches": 1, "records": 3}
    assert [each["batch"] for each in told["batches"]] == [lost.header.batch.hex()]
    assert told["batches"][0]["reason"] == "epoch 9 is unknown or destroyed"
    assert told["records"][0]["fields"] == {"host": "?", "path": "/b"}
    assert one_of_each == told
    assert (await client.get("/v1/set-aside?limit=0")).status == 400
    assert (await client.get("/v1/set-aside?page=2")).status == 400


async def test_a_batch_is_tried_again_with_a_fresh_key(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """What can be opened by now becomes hits; what cannot stays, with its reason."""
    edge = await world.add_edge()
    stream = edge.begin()
    later = an_epoch(9, edge.chance)
    stream.add(later, [a_record(1), a_record(2)])
    good = stream.add(world.epoch, [a_record(3)])
    stream.add_boxes(_moved(good.header), good.records)
    await world.puller(edge).pull()
    world.keys.epochs[9] = later
    client = await api(world, aiohttp_client, HITS_WRITE, HITS_READ)

    done = await (await client.post("/v1/set-aside/retry")).json()
    again = await (await client.post("/v1/set-aside/retry")).json()

    assert done == {"opened": 1, "hits": 2, "set_aside": 1}
    assert again == {"opened": 0, "hits": 0, "set_aside": 1}
    assert await world.paths() == ["/spring?n=3", "/spring?n=1", "/spring?n=2"]


async def test_without_the_key_server_a_retry_changes_nothing(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """The reason stays; nothing begins to wait again."""
    edge = await world.add_edge()
    edge.begin().add(an_epoch(9, edge.chance), [a_record(1)])
    await world.puller(edge).pull()
    world.keys.down = True
    client = await api(world, aiohttp_client, HITS_WRITE)

    done = await (await client.post("/v1/set-aside/retry")).json()

    assert done == {"opened": 0, "hits": 0, "set_aside": 1}
    assert await world.one("SELECT reason FROM set_aside") == "epoch 9 is unknown or destroyed"


async def test_a_reader_may_not_retry(world: World, aiohttp_client: AiohttpClient) -> None:
    """Looking and doing are two scopes."""
    client = await api(world, aiohttp_client, HITS_READ)

    answer = await client.post("/v1/set-aside/retry")

    assert answer.status == 403
    assert "hits:write" in (await answer.json())["detail"]


def _moved(header: Header) -> Header:
    """Return the header of another batch."""
    return replace(header, seq=Seq(3), batch=BatchId(bytes(16)))
