"""A volume that came back older: what its files lost comes from their replicas."""

import pytest

from milepost.vocabulary import Seq
from milepost.wire import Cursor
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.replica_world import ReplicaWorld


@pytest.mark.parametrize(("pulled", "left"), [(3, 1), (2, 2)])
async def test_what_a_file_lost_when_it_was_set_back_comes_from_its_replica(
    world: World, pulled: int, left: int
) -> None:
    """Its machine answers and is believed about what it has; the replica goes further."""
    lost = ReplicaWorld(world)
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = pulled
    puller = world.puller(edge)
    lost.pullers.append(puller)
    await puller.pull()
    stream.add(world.epoch, [a_record(3)])  # which nobody has heard of
    lost.put(stream, machine="local")
    del stream.batches[left:]
    stream.open = stream.alive = False
    for _ in range(3):
        await puller.pull()
    sweeper = lost.sweeper()
    await sweeper.step()
    for _ in range(3):
        world.clock.moment += 1
        await puller.pull()
        await sweeper.step()
    there = await world.paths(), await lost.row(stream, "seq", "last_seq", "swept_ms")
    edge.streams.clear()
    await puller.pull()
    await sweeper.step()

    assert there == ([f"/spring?n={number}" for number in range(4)], (4, 4, None))
    assert edge.asked[-1].acknowledged == {stream.id: Cursor(Seq(left), stream.chain)}
    assert await lost.row(stream, "swept_ms") == (world.clock.now(),)
