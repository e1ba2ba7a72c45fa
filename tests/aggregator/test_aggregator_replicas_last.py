"""Before a replica may go it is read: it may hold what no machine has ever told of."""

import shutil

import pytest

from aggregator.replicas.rules import MARGIN_MS, RESTORABLE_MS, SILENT_MS
from aggregator.replicas.sweeping import FAILURES_MAX, RETRY_MS_MAX
from milepost.vocabulary import Generation
from tests.aggregator.combined_world import START, Edge, FileOfBatches, World, a_record
from tests.aggregator.replica_world import OLD_MS, ReplicaWorld, aged


@pytest.fixture
def lost(world: World) -> ReplicaWorld:
    """Return a store with nothing in it."""
    return ReplicaWorld(world)


async def an_edge(lost: ReplicaWorld, batches: int) -> tuple[Edge, FileOfBatches]:
    """Return an edge of which everything is applied."""
    world = lost.world
    edge = await world.add_edge()
    stream = edge.begin()
    add(world, stream, batches)
    lost.pullers = [world.puller(edge)]
    await lost.pullers[0].pull()
    return edge, stream


def add(world: World, stream: FileOfBatches, batches: int) -> None:
    """Commit *batches* with a record in each."""
    for _ in range(batches):
        stream.add(world.epoch, [a_record(len(stream.batches))])


async def go_on(lost: ReplicaWorld, rounds: int = 4) -> None:
    """Pull and sweep for a while, as one process does."""
    sweeper = lost.sweeper()
    for _ in range(rounds):
        await sweeper.step()
        await lost.pass_time(5_000)
        for puller in lost.pullers:
            await puller.pull()


async def test_what_a_file_had_before_it_was_rolled_back_is_counted(lost: ReplicaWorld) -> None:
    """While its machine answers, for it will never hand that over; and it costs no generation."""
    world = lost.world
    edge, stream = await an_edge(lost, 4)
    add(world, stream, 2)  # committed and copied, and not pulled
    lost.put(stream, machine="local")
    del stream.batches[2:]
    edge.closed = True
    await lost.pullers[0].pull()
    edge.acknowledged = {stream.id}

    await go_on(lost)

    assert sorted(await world.paths()) == [f"/spring?n={number}" for number in range(6)]
    assert await lost.row(stream, "seq", "last_seq", "branch_seq", "present") == (6, 6, 2, 1)
    assert edge.asked[-1].acknowledged == {stream.id: (2, stream.chain)}
    assert world.fence.generation == Generation(START)


async def test_what_nobody_knew_a_file_to_have_is_counted_when_it_has_gone(
    lost: ReplicaWorld,
) -> None:
    """Nothing was announced of it before the file was rolled back to what was pulled."""
    world = lost.world
    edge, stream = await an_edge(lost, 2)
    add(world, stream, 2)
    lost.put(stream, machine="local")
    del stream.batches[2:]
    edge.closed = True
    await go_on(lost)
    assert await lost.row(stream, "seq", "last_seq", "present", "swept_ms") == (2, 2, 1, None)
    edge.streams.clear()  # acknowledged, and retired

    await go_on(lost)

    assert len(await world.paths()) == 4
    assert await lost.row(stream, "seq", "last_seq", "present") == (4, 4, 0)


async def test_what_was_written_off_too_early_is_counted_all_the_same(lost: ReplicaWorld) -> None:
    """Somebody was quicker than the sweep."""
    world = lost.world
    edge, stream = await an_edge(lost, 2)
    add(world, stream, 2)
    lost.put(stream, machine="local")
    await world.store.abandon_source(edge.url, world.clock.now())
    lost.pullers = []
    sweeper = lost.sweeper()
    await lost.pass_time(SILENT_MS)

    await sweeper.step()

    assert len(await world.paths()) == 4


async def test_what_a_machine_wrote_that_nobody_reached_is_counted(lost: ReplicaWorld) -> None:
    """It was taken for lost, went on for hours, and was lost then: its replica is read again."""
    world = lost.world
    _, stream = await an_edge(lost, 2)
    replica = lost.put(stream, machine="local")
    lost.pullers = []
    sweeper = lost.sweeper()
    await lost.pass_time(SILENT_MS)
    for _ in range(2):
        await sweeper.step()
    add(world, stream, 2)
    shutil.rmtree(replica)
    lost.put(stream, machine="local")
    aged(replica, world.clock.now() + 60_000)
    base = lost.base / "combined" / f"{1:016x}-{9:016x}.ltx"
    base.parent.mkdir()
    base.write_text("a snapshot")
    await lost.pass_time(RESTORABLE_MS + MARGIN_MS + 1)
    aged(base.parent, world.clock.now())

    for _ in range(3):
        await sweeper.step()
        aged(base.parent, world.clock.now())

    assert len(await world.paths()) == 4
    assert replica.exists(), "the database can be restored to before it was read"


@pytest.mark.slow
async def test_a_replica_that_cannot_be_read_goes_when_nothing_is_missing(
    lost: ReplicaWorld,
) -> None:
    """After it was tried for long, and with all the care that holds for the others."""
    world = lost.world
    edge, whole = await an_edge(lost, 2)
    cut = edge.begin()
    add(world, cut, 3)
    edge.limit = 2
    edge.closed = True
    await lost.pullers[0].pull()
    replicas = [lost.put(stream, machine="local") for stream in (whole, cut)]
    for path in (each for replica in replicas for each in replica.rglob("*.ltx")):
        path.write_bytes(b"no such thing")
    for replica in replicas:
        aged(replica, OLD_MS)
    edge.streams.clear()
    await lost.pass_time(1)
    await lost.pullers[0].pull()
    lost.pullers = []
    sweeper = lost.sweeper()
    for _ in range(FAILURES_MAX + 3):
        await lost.pass_time(RETRY_MS_MAX)
        await sweeper.step()
    assert [await lost.row(each, "swept_ms", "retired_ms IS NULL") for each in (whole, cut)] == [
        (None, 0),
        (None, 1),
    ]
    base = lost.base / "combined" / f"{1:016x}-{9:016x}.ltx"
    base.parent.mkdir()
    base.write_text("a snapshot")
    aged(base.parent, OLD_MS)
    await lost.pass_time(RESTORABLE_MS + MARGIN_MS)
    await sweeper.step()
    assert replicas[0].exists(), "the snapshot is older than the stream"
    aged(base.parent, world.clock.now())
    await sweeper.step()

    assert [each.exists() for each in replicas] == [False, True]
