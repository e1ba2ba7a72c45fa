"""Replicas are deleted by the aggregator that counts, and by no other."""

from aggregator.replicas.rules import MARGIN_MS, RESTORABLE_MS, SILENT_MS
from tests.aggregator.combined_world import World
from tests.aggregator.replica_world import ReplicaWorld, a_stream, aged


async def test_only_the_newest_aggregator_deletes(world: World) -> None:
    """Neither one that has just started, nor one that edges answer 409: both may be an old copy."""
    lost = ReplicaWorld(world)
    edge = await world.add_edge()
    puller = world.puller(edge)
    lost.pullers = [puller]
    await puller.pull()
    replica = lost.put(a_stream(world, 1))
    sweeper = lost.sweeper()
    await sweeper.step()
    await sweeper.step()  # seen to have retired
    base = lost.base / "combined" / "ltx" / "9" / f"{1:016x}-{9:016x}.ltx"
    base.parent.mkdir(parents=True)
    base.write_text("a snapshot")
    await lost.pass_time(RESTORABLE_MS + MARGIN_MS + 1)
    aged(lost.base / "combined", world.clock.now())
    edge.fault = {"detail": "a newer database reads here"}
    await puller.step()
    await sweeper.step()
    assert replica.exists(), "a newer one is there"
    edge.fault = None
    await puller.step()
    sweeper = lost.sweeper()
    await sweeper.step()
    assert replica.exists(), "it has only started"
    await lost.pass_time(SILENT_MS)
    await puller.step()
    await sweeper.step()

    assert not replica.exists()
