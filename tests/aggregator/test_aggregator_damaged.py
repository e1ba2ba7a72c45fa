"""Damaged batches in the combined database: kept, listed, counted; gone when they come whole."""

from dataclasses import replace

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.pulling.standing import PAUSE_MS_MAX
from milepost.batch import Batch
from milepost.tokens import HITS_READ, HITS_WRITE
from tests.aggregator.combined_world import Edge, FileOfBatches, World, a_record
from tests.aggregator.test_aggregator_set_aside import api


async def an_edge_with_damage(world: World) -> tuple[Edge, FileOfBatches, Batch]:
    """Return an edge whose stream has three batches, and the second as it was written."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    written = stream.batches[1]
    stream.batches[1] = replace(written, records=written.records[:-1] + b"?")
    return edge, stream, written


async def test_a_damaged_batch_is_set_aside_alone(world: World) -> None:
    """Its neighbours are hits, nothing lags, and neither its id nor its tally is believed."""
    edge, stream, written = await an_edge_with_damage(world)
    puller = world.puller(edge)
    await puller.pull()
    again = await puller.pull()

    assert not again
    assert await world.paths() == ["/spring?n=0", "/spring?n=2"]
    assert await world.tally() == {"dfw": (2, 0, 2, 4)}
    assert await world.one("SELECT seq FROM stream") == 3
    assert await world.one("SELECT last_records - records FROM stream") == 0
    assert await world.one("SELECT fault FROM stream") is None
    assert await world.one("SELECT records FROM damaged") == stream.batches[1].records
    assert await world.one("SELECT reason FROM damaged") == "batch 2 does not follow the chain"
    assert await world.one(f"SELECT count(*) FROM applied WHERE batch = {_hex(written)}") == 0


async def test_it_is_listed_and_counted(world: World, aiohttp_client: AiohttpClient) -> None:
    """In the list, the totals, and after a retry, which cannot help it."""
    edge, _, written = await an_edge_with_damage(world)
    puller = world.puller(edge)
    await puller.pull()
    client = await api(world, aiohttp_client, HITS_READ, HITS_WRITE, pullers=[puller])

    listed = await (await client.get("/v1/set-aside")).json()
    sources = await (await client.get("/v1/sources")).json()
    retried = await (await client.post("/v1/set-aside/retry")).json()

    (batch,) = listed["batches"]
    assert batch["damaged"] is True
    assert (batch["batch"], batch["seq"], batch["count"]) == (written.header.batch.hex(), 2, 1)
    assert batch["reason"] == "batch 2 does not follow the chain"
    assert listed["total"] == sources["set_aside"] == {"batches": 1, "records": 1}
    assert retried == {"opened": 0, "hits": 0, "set_aside": 0, "damaged": 1}


async def test_the_batch_of_a_fork_does_not_take_its_place(world: World) -> None:
    """It has the same number behind the same batch, and is another one: this stays set aside."""
    edge, stream, written = await an_edge_with_damage(world)
    await world.puller(edge).pull()
    other = await world.add_edge()
    other.streams.append(FileOfBatches(stream.id, stream.chance, stream.batches[:1]))
    other.streams[0].add(world.epoch, [a_record(9)])
    puller = world.puller(other)
    for _ in range(4):
        await puller.pull()

    assert sorted(await world.paths()) == [f"/spring?n={number}" for number in (0, 2, 9)]
    assert await world.one(f"SELECT count(*) FROM damaged WHERE batch = {_hex(written)}") == 1


async def test_a_good_copy_takes_its_place(world: World) -> None:
    """The same stream from elsewhere, with the batch as it was written."""
    edge, stream, written = await an_edge_with_damage(world)
    copy = await world.add_edge()
    whole = [stream.batches[0], written, stream.batches[2]]
    copy.streams.append(FileOfBatches(stream.id, stream.chance, whole))
    await world.puller(edge).pull()
    brought = replace(copy.answer({}), batches=tuple(whole))
    copy.fault = brought.to_json()
    await world.puller(copy).pull()
    await world.puller(copy).pull()

    assert sorted(await world.paths()) == [f"/spring?n={n}" for n in range(3)]
    assert await world.one("SELECT count(*) FROM damaged") == 0
    assert await world.one("SELECT seq FROM stream") == 3
    assert await world.one("SELECT records FROM stream") == 3
    assert await world.tally() == {"dfw": (3, 0, 3, 6)}


@pytest.mark.parametrize("later", [True, False])
async def test_its_id_in_another_stream_takes_its_place(world: World, *, later: bool) -> None:
    """After a commit that seemed to fail it stands in two streams, and one of them is whole."""
    edge, stream, written = await an_edge_with_damage(world)
    puller = world.puller(edge)
    if later:
        await puller.pull()
    again = edge.begin()
    again.add(world.epoch, [a_record(1)], batch=written.header.batch)
    if not later:
        edge.streams.reverse()
    await puller.pull()

    assert sorted(await world.paths()) == [f"/spring?n={n}" for n in range(3)]
    assert await world.one("SELECT count(*) FROM damaged") == 0
    assert await world.one("SELECT min(seq) FROM stream") == 1
    assert stream.id != again.id


async def test_what_is_set_aside_once_stays_so_when_it_comes_again(world: World) -> None:
    """A damaged file that was rolled back as well is read anew, and claims nothing twice."""
    edge, stream, _ = await an_edge_with_damage(world)
    stream.add(world.epoch, [a_record(3)])
    puller = world.puller(edge)
    await puller.pull()
    del stream.batches[3:]
    for _ in range(3):
        await puller.pull()

    assert await world.one("SELECT count(*) FROM damaged") == 1
    assert await world.one("SELECT branch_seq FROM stream") == 3
    assert len(await world.hits()) == 3


async def test_a_count_beyond_reason_breaks_no_sum(world: World) -> None:
    """Neither that of what is set aside nor that of a stream's records."""
    edge = await world.add_edge()
    stream = edge.begin()
    for _ in range(3):
        header = stream.add(world.epoch, [a_record(1)]).header
        stream.batches.pop()
        stream.add_boxes(replace(header, count=(1 << 63) - 1), b"box")
    edge.fault = replace(
        edge.answer({}), streams=(replace(stream.head(), records=(1 << 63) - 1),)
    ).to_json()
    await world.puller(edge).pull()

    _, aside = await world.store.count_sealed()
    assert (aside.batches, aside.records) == (3, 3_000)
    assert await world.one("SELECT records FROM stream") == (1 << 53) - 1


def _hex(batch: Batch) -> str:
    return f"x'{batch.header.batch.hex()}'"


async def test_a_batch_of_another_history_does_not_take_its_place(world: World) -> None:
    """It follows the same batch, and is another: what is set aside stays, until it comes whole."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    whole = list(stream.batches)
    stream.batches[1] = replace(whole[1], records=b"damaged")
    puller = world.puller(edge)
    await puller.pull()
    stream.batches[:] = whole[:1]
    stream.add(world.epoch, [a_record(9)])
    for _ in range(3):
        await puller.pull()
    kept = await world.one("SELECT count(*) FROM damaged")
    stream.batches[:] = whole
    world.clock.moment += PAUSE_MS_MAX
    for _ in range(3):
        await puller.pull()

    assert (kept, await world.one("SELECT count(*) FROM damaged")) == (1, 0)
    assert sorted(await world.paths()) == [f"/spring?n={number}" for number in (0, 1, 2, 9)]
