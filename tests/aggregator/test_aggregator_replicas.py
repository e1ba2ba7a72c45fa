"""Lost machines: what only the object store has is counted once, and nothing else is."""

import shutil
from pathlib import Path
from random import Random

import pytest

from aggregator.draining.store import find_behind
from aggregator.query.store import StoredStream, find_sources
from aggregator.replicas.names import Name
from aggregator.replicas.rules import MARGIN_MS, RESTORABLE_MS, SILENT_MS
from aggregator.replicas.sweeping import REREAD_MS, RETRY_MS_MIN, SOON_SECONDS, SWEEP_SECONDS
from milepost.database import open_database
from milepost.vocabulary import Millis, StreamId
from tests.aggregator.combined_world import START, FileOfBatches, World, a_record
from tests.aggregator.replica_world import OLD_MS, ReplicaWorld, a_stream, aged


@pytest.fixture
def lost(world: World) -> ReplicaWorld:
    """Return a store with nothing in it."""
    return ReplicaWorld(world)


async def test_what_a_lost_machine_left_is_counted_once(lost: ReplicaWorld) -> None:
    """It looks like no live machine afterwards, and is read once."""
    world = lost.world
    stream = a_stream(world, 1)
    lost.put(stream)
    sweeper = lost.sweeper()

    assert await sweeper.step() == SWEEP_SECONDS
    lost.binary = ""  # nothing could be restored any more
    assert await sweeper.step() == SWEEP_SECONDS

    assert await world.paths() == ["/spring?n=1", "/spring?n=2"]
    assert await lost.row(stream, "seq", "last_seq", "present", "open", "swept_ms") == (
        *(2, 2, 0, 0),
        world.clock.now(),
    )
    assert await world.one("SELECT count(*) FROM source") == 0
    told = await sweeper.told()
    assert [each["stream"] for each in told["swept"]] == [stream.id.hex()]
    assert told["failed"] == []
    assert sweeper.notes() == {}
    assert list(lost.scratch.iterdir()) == []


async def test_the_rest_of_a_stream_comes_from_its_replica(lost: ReplicaWorld) -> None:
    """What was pulled is not opened again, and other streams of the source stay as they are."""
    world = lost.world
    edge = await world.add_edge()
    going, other = edge.begin(), edge.begin()
    going.add(world.epoch, [a_record(1)])
    other.add(world.epoch, [a_record(9)])
    puller = world.puller(edge)
    await puller.pull()
    going.add(world.epoch, [a_record(2)])
    going.add(world.epoch, [a_record(3)])
    lost.put(going, machine="local")
    edge.streams.remove(going)  # it was on a volume that is gone
    await lost.pass_time(1)
    sweeper = lost.sweeper()
    lost.pullers = [puller]
    sweeper = lost.sweeper()

    assert await sweeper.step() == SOON_SECONDS  # not asked since the replica was seen
    await lost.pass_time(1)
    await puller.pull()
    assert await sweeper.step() == SWEEP_SECONDS

    assert await world.paths() == [f"/spring?n={number}" for number in (1, 9, 2, 3)]
    assert (await lost.row(going, "seq", "records", "present"))[:2] == (3, 3)
    assert await lost.row(other, "present", "swept_ms") == (1, None)


async def test_a_replica_that_ends_early_doubles_nothing(lost: ReplicaWorld) -> None:
    """What it lacks was pulled, or was announced and is lost; neither holds up draining."""
    world = lost.world
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(4):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 3
    puller = world.puller(edge)
    await puller.pull()
    lost.put(stream, machine="local", upto=2)
    edge.streams.clear()
    await lost.pass_time(1)
    await puller.pull()
    lost.pullers = [puller]
    sweeper = lost.sweeper()
    await sweeper.step()
    await lost.pass_time(1)
    await puller.pull()
    assert len(await find_behind(world.readers, Millis(START + 1))) == 1
    assert [each.lag_records for each in await told_of(world, edge.url)] == [1]
    await sweeper.step()

    assert len(await world.paths()) == 3
    assert (await lost.row(stream, "seq", "last_seq"))[:2] == (3, 4)
    assert await find_behind(world.readers, Millis(START + 1)) == ()
    assert [each.lag_records for each in await told_of(world, edge.url)] == [0]


async def told_of(world: World, url: str) -> list[StoredStream]:
    """Return what is told of a source's streams."""
    _, streams = await find_sources(world.readers)
    return streams[url]


async def test_another_history_is_counted_by_the_ids_of_its_batches(lost: ReplicaWorld) -> None:
    """A fork in the store brings what nobody pulled, and what was pulled counts once."""
    world = lost.world
    edge = await world.add_edge()
    pulled = edge.begin()
    pulled.add(world.epoch, [a_record(1)])
    branch = FileOfBatches(pulled.id, Random(5), list(pulled.batches))
    pulled.add(world.epoch, [a_record(2)])
    for number in (3, 4):
        branch.add(world.epoch, [a_record(number)])
    await world.puller(edge).pull()
    lost.put(branch, machine="local")
    sweeper = lost.sweeper()
    await lost.pass_time(SILENT_MS)  # nobody pulls that edge any more
    await sweeper.step()

    assert sorted(await world.paths()) == [f"/spring?n={number}" for number in (1, 2, 3, 4)]
    assert await lost.row(branch, "seq", "chain") == (3, branch.chain)


async def test_a_live_machines_stream_is_not_restored(lost: ReplicaWorld) -> None:
    """Neither one that is pulled nor one that was seen before its machine told of it."""
    world = lost.world
    edge = await world.add_edge()
    puller = world.puller(edge)
    lost.pullers, lost.binary = [puller], ""
    new = edge.begin()
    new.add(world.epoch, [a_record(1)])
    lost.put(new, machine="local")
    sweeper = lost.sweeper()
    assert await sweeper.step() == SOON_SECONDS
    assert sweeper.notes() == {
        "replicas": "what only the object store holds may not be counted yet"
    }
    await lost.pass_time(1)
    await puller.pull()
    assert await sweeper.step() == SWEEP_SECONDS

    assert sweeper.notes() == {}
    assert (await sweeper.told())["failed"] == []
    assert await lost.row(new, "present", "seq") == (1, 1)


async def test_a_silent_machine_is_read_and_not_given_up(lost: ReplicaWorld) -> None:
    """It comes back, goes on, and nothing is doubled."""
    world = lost.world
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    puller = world.puller(edge)
    await puller.pull()
    stream.add(world.epoch, [a_record(2)])
    lost.put(stream, machine="local")
    lost.pullers = [puller]
    sweeper = lost.sweeper()
    await sweeper.step()
    await lost.pass_time(SILENT_MS)
    await sweeper.step()
    assert await world.paths() == ["/spring?n=1", "/spring?n=2"]
    assert await lost.row(stream, "present", "open", "swept_ms") == (1, 1, None)
    stream.add(world.epoch, [a_record(3)])
    await puller.pull()

    assert await world.paths() == ["/spring?n=1", "/spring?n=2", "/spring?n=3"]


async def test_a_replica_of_a_silent_machine_is_read_again_only_when_it_has_grown(
    lost: ReplicaWorld,
) -> None:
    """And then only now and then."""
    world = lost.world
    edge = await world.add_edge()
    stream = a_stream(world, 3)
    edge.streams.append(stream)
    puller = world.puller(edge)
    await puller.pull()
    replica = lost.put(stream, machine="local")
    lost.pullers = [puller]
    sweeper = lost.sweeper()
    await lost.pass_time(SILENT_MS)
    await sweeper.step()
    shutil.rmtree(lost.scratch)  # restored again, it would be there again
    await lost.pass_time(REREAD_MS + 1)
    await sweeper.step()
    assert not lost.scratch.exists()
    aged(replica, OLD_MS + 1_000)
    await sweeper.step()
    assert not lost.scratch.exists()
    await lost.pass_time(REREAD_MS + 1)
    await sweeper.step()

    assert lost.scratch.exists()


async def test_a_machine_that_comes_back_is_pulled_again(lost: ReplicaWorld) -> None:
    """A stream that was swept is no longer so once a machine announces it."""
    world = lost.world
    stream = a_stream(world, 4)
    lost.put(stream, machine="local")
    await lost.sweeper().step()
    edge = await world.add_edge()
    edge.streams.append(stream)
    stream.add(world.epoch, [a_record(7)])
    await world.puller(edge).pull()

    assert len(await world.paths()) == 3
    assert await lost.row(stream, "present", "swept_ms", "retired_ms") == (1, None, None)


async def test_bad_things_in_the_store_hold_up_nothing(lost: ReplicaWorld) -> None:
    """Each is named with its reason and tried again later; what is no replica is left alone."""
    world = lost.world
    good, wrong, cut, torn = (a_stream(world, seed, (seed,)) for seed in (10, 11, 12, 13))
    lost.put(good)
    lost.put(wrong, under=f"dfw/lost/{'1' * 32}")
    lost.put(wrong, region="cdg", under=f"dfw/lost/{wrong.id.hex()}")
    for path in lost.put(cut).rglob("*.ltx"):
        path.write_bytes(path.read_bytes()[:100])
    for path in lost.put(torn).rglob("*.ltx"):
        path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)
    other = world.folder / "other.db"
    open_database(other, "replica").close()
    lost.put_database(other, f"dfw/lost/{'2' * 32}")
    (lost.base / "dfw" / "lost" / ("3" * 32)).mkdir()
    for foreign in ("README", "dfw/lost/notes/a", "x y/#/%2e%2e/z", "combined/ltx/0/1.ltx"):
        (lost.base / foreign).parent.mkdir(parents=True, exist_ok=True)
        (lost.base / foreign).write_text("?")
    before = sorted(path for path in lost.base.rglob("*") if path.is_file())
    sweeper = lost.sweeper()
    await sweeper.step()

    assert await world.paths() == ["/spring?n=10"]
    told = await sweeper.told()
    reasons = {each["replica"][-32:]: each["reason"] for each in told["failed"]}
    assert reasons.keys() == {
        "1" * 32,
        "2" * 32,
        "3" * 32,
        *(each.id.hex() for each in (wrong, cut, torn)),
    }
    assert reasons["1" * 32] == f"it holds the stream {wrong.id.hex()} of another name"
    assert reasons["2" * 32] == "it is a database, and not a stream"
    assert reasons["3" * 32] == "it holds no file"
    assert "it cannot be restored" in reasons[cut.id.hex()]
    assert told["foreign"] == 2
    assert "6 cannot be read" in sweeper.notes()["replicas"]
    assert sorted(path for path in lost.base.rglob("*") if path.is_file()) == before
    await lost.pass_time(RETRY_MS_MIN)
    await sweeper.step()
    assert {each["failures"] for each in (await sweeper.told())["failed"]} == {2}


async def test_a_store_that_is_gone_is_named_and_asked_again(lost: ReplicaWorld) -> None:
    """Pulling goes on without it."""
    sweeper = lost.sweeper()
    lost.base.rmdir()
    assert await sweeper.step() == SWEEP_SECONDS
    assert "the object store is not swept" in sweeper.notes()["replicas"]
    lost.put(a_stream(lost.world, 1))
    await sweeper.step()

    assert sweeper.notes() == {}
    assert len(await lost.world.paths()) == 2


async def test_without_the_program_it_says_which_setting_names_it(lost: ReplicaWorld) -> None:
    """And goes on sweeping, so that it is enough to start again with it."""
    lost.binary = ""
    lost.put(a_stream(lost.world, 1))
    sweeper = lost.sweeper()
    await sweeper.step()

    assert "MILEPOST_LITESTREAM" in sweeper.notes()["replicas"]


async def test_many_names_cost_a_listing_and_nothing_more(lost: ReplicaWorld) -> None:
    """Ten thousand finished streams are judged by name alone."""
    world = lost.world
    chance = Random(6)
    streams = [StreamId(chance.randbytes(16)) for _ in range(10_000)]
    for stream in streams:
        folder = lost.base / "dfw" / "lost" / stream.hex()
        folder.mkdir(parents=True)
    put = """
        INSERT INTO stream (stream, source, region, life, created_ms, open, present, seq, chain,
                            records, last_seq, last_records, file_seq, last_chain, file_records,
                            swept_ms)
        VALUES (?, 'x', 'dfw', ?, 0, 0, 0, 1, zeroblob(32), 1, 1, 1, 1, zeroblob(32), 1, 1)
    """
    rows = [(stream, stream) for stream in streams]
    await world.writer.transact(lambda db: db.executemany(put, rows))
    sweeper = lost.sweeper()

    assert await sweeper.step() == SWEEP_SECONDS
    assert (await sweeper.told())["listed"] == 10_000
    assert await world.one("SELECT count(*) FROM stream WHERE retired_ms IS NULL") == 0


async def test_a_database_from_yesterday_is_refilled(lost: ReplicaWorld) -> None:
    """The edges have forgotten what it lacks; everything comes back exactly once."""
    world = lost.world
    edge = await world.add_edge()
    first = edge.begin()
    first.add(world.epoch, [a_record(1)])
    await world.puller(edge).pull()
    await world.close()
    yesterday = Path(shutil.copy(world.path, world.folder / "yesterday.db"))
    await world.restart()
    first.add(world.epoch, [a_record(2)])
    second = edge.begin()
    second.add(world.epoch, [a_record(3)])
    await world.puller(edge).pull()
    for stream in (first, second):
        lost.put(stream, machine="local")
    edge.streams.clear()  # acknowledged, and retired
    third = edge.begin()
    third.add(world.epoch, [a_record(4)])
    await world.puller(edge).pull()
    told, tally = await world.paths(), await world.tally()
    await world.close()
    for path in (world.path.with_name("combined.db-wal"), world.path.with_name("combined.db-shm")):
        path.unlink(missing_ok=True)
    shutil.copy(yesterday, world.path)
    await world.open()
    await world.keyring.watch()
    puller = world.puller(edge)
    lost.pullers = [puller]
    sweeper = lost.sweeper()
    for _ in range(2):
        await sweeper.step()
        await lost.pass_time(1)
        await puller.pull()
    assert await sweeper.step() == SWEEP_SECONDS

    assert sorted(await world.paths()) == sorted(told)
    assert await world.tally() == tally
    assert sweeper.notes() == {}


async def test_a_replica_goes_when_no_restore_can_need_it(lost: ReplicaWorld) -> None:
    """Not before, not what others still need, and nothing beside it."""
    world = lost.world
    gone, going, bare = (a_stream(world, seed) for seed in (1, 2, 3))
    replicas = [lost.put(stream) for stream in (gone, going)]
    sweeper = lost.sweeper()
    await sweeper.step()
    await sweeper.step()  # seen to have retired
    base = lost.base / "combined" / "ltx" / "9" / f"{1:016x}-{9:016x}.ltx"
    base.parent.mkdir(parents=True)
    base.write_text("a snapshot")
    aged(lost.base / "combined", world.clock.now())
    await lost.pass_time(RESTORABLE_MS + MARGIN_MS + 1)
    await sweeper.step()
    assert all(replica.exists() for replica in replicas), "the snapshot is older than the stream"
    aged(lost.base / "combined", world.clock.now() - RESTORABLE_MS + MARGIN_MS)
    aged(replicas[1], world.clock.now() - 1_000_000)  # somebody writes it
    lost.put(bare)
    await sweeper.step()

    assert not replicas[0].exists()
    assert replicas[1].exists()
    assert base.exists()
    assert (await lost.row(going, "swept_ms", "retired_ms")) == (None, None)
    names = {Name.parse(f"dfw/lost/{path.name}") for path in (lost.base / "dfw/lost").iterdir()}
    assert names == {Name("dfw", "lost", each.id) for each in (going, bare)}
