"""Fencing: which copy of the combined database counts, and which process may write it."""

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from aggregator.fencing.fence import Fence
from aggregator.fencing.rules import next_generation
from aggregator.pulling.standing import PAUSE_MS_MAX
from milepost.database import Readers, Writer, open_database
from milepost.errors import ConfigError
from milepost.mark.file import mark_path, read_mark
from milepost.mark.rules import Mark
from milepost.vocabulary import Generation, Millis
from tests.aggregator.combined_world import START, Edge, FileOfBatches, World, a_record


def test_a_generation_is_higher_whatever_the_clock_says() -> None:
    """A clock that was set back must not make a restored database look like an old one."""
    assert next_generation(None, Millis(50)) == Generation(50)
    assert next_generation(Generation(40), Millis(50)) == Generation(50)
    assert next_generation(Generation(60), Millis(50)) == Generation(61)


async def test_a_start_is_no_restore(world: World) -> None:
    """Started again, a database is as old as it was: an old copy must not pass for the newest."""
    world.clock.moment += 60_000

    await world.restart()

    assert world.fence.generation == Generation(START)


async def test_a_restored_database_begins_a_generation(world: World) -> None:
    """A copy that takes the database's place says so, though the mark is still there."""
    await world.close()
    older = world.folder / "older.db"
    shutil.copy(world.path, older)
    older.rename(world.path)
    world.clock.moment += 60_000

    await world.open()

    assert world.fence.generation == Generation(START + 60_000)
    assert await world.one("SELECT generation FROM meta") == Generation(START + 60_000)


async def test_a_database_written_over_in_place_begins_a_generation(world: World) -> None:
    """The file system calls the file what it did; but it holds less than it has held."""
    await world.close()
    older = world.path.read_bytes()
    await world.open()
    await _pull_one(world)
    await world.fence.mark()
    await world.close()
    world.path.write_bytes(older)
    world.clock.moment += 60_000

    await world.open()

    assert world.fence.generation > START


async def test_a_lost_mark_costs_a_generation(world: World) -> None:
    """Without its mark, or with one that cannot be read, a database may be anything."""
    await world.close()
    mark_path(world.path).write_bytes(b"{")
    world.clock.moment += 1

    await world.open()

    assert world.fence.generation == START + 1
    assert read_mark(world.path) == Mark(
        name=str(START + 1), machine="here", file=world.path.stat().st_ino, height=0
    )


async def test_the_mark_is_for_its_owner_alone(world: World) -> None:
    """As the database itself."""
    assert mark_path(world.path).stat().st_mode & 0o777 == 0o600


async def test_two_processes_cannot_both_write(world: World) -> None:
    """Who comes later has the database; the other fails at its next transaction, whatever it is."""
    second = Writer(open_database(world.path, "combined"))
    readers = await Readers.open(world.path, 1)
    await _claim(world.path, second, readers, world)

    with pytest.raises(ConfigError, match="another aggregator"):
        await world.writer.transact(lambda db: db.execute("DELETE FROM source"))
    await second.transact(lambda db: db.execute("DELETE FROM source"))
    await readers.close()
    await second.close()


async def test_a_database_rolled_back_with_its_mark_is_told_by_the_edges(world: World) -> None:
    """A snapshot of a whole volume brings the mark along; what was acknowledged gives it away."""
    edge = await _pull_one(world)
    stream = edge.streams[0]
    world.clock.moment += 60_000
    edge.closed, edge.acknowledged = True, {stream.id}
    stream.add(world.epoch, [a_record(2)])
    edge.limit = 0  # this time nothing comes but the announcement

    await world.puller(edge).pull()

    assert world.fence.generation == Generation(world.clock.moment)
    assert read_mark(world.path) == Mark(
        name=str(world.fence.generation),
        machine="here",
        file=world.path.stat().st_ino,
        height=1,
    )
    await world.restart()
    assert world.fence.generation == Generation(world.clock.moment)


async def test_several_edges_that_tell_the_same_raise_it_once(world: World) -> None:
    """An answer that was asked for in the generation before is no more news."""
    before = world.fence.generation
    world.clock.moment += 1
    await world.fence.rise(before, "an edge knows more")
    risen = world.fence.generation
    world.clock.moment += 1

    await world.fence.rise(before, "another one too")

    assert before < risen == world.fence.generation


async def test_an_acknowledged_end_that_is_known_is_no_news(world: World) -> None:
    """Each answer tells again what was acknowledged; the generation stays."""
    edge = await _pull_one(world)
    edge.closed, edge.acknowledged = True, {edge.streams[0].id}
    world.clock.moment += 60_000

    await world.puller(edge).pull()

    assert world.fence.generation == Generation(START)


async def test_two_older_copies_of_a_stream_raise_it_never(world: World) -> None:
    """They take each other's place beside the cursor, again and again; nothing is forgotten."""
    whole = await _pull_one(world, 3)
    edges = [await _copy_of(world, whole, left) for left in (1, 2)]
    pullers = [world.puller(edge) for edge in edges]

    for _ in range(8):
        for edge, puller in zip(edges, pullers, strict=True):
            world.clock.moment += PAUSE_MS_MAX
            for _ in range(4):
                await puller.pull()
                _hear(edge)
            assert edge.acknowledged

    assert await world.one("SELECT forks FROM stream") > len(edges)
    assert world.fence.generation == Generation(START)


async def test_a_longer_copy_of_what_was_acknowledged_raises_it_never(world: World) -> None:
    """The cursor goes on in another file; the end of the first one is still known."""
    short = await _pull_one(world, 2)
    short.closed = True
    first = world.puller(short)
    await first.pull()
    _hear(short)
    longer = await _copy_of(world, short, 2)
    longer.streams[0].add(world.epoch, [a_record(9)])
    await world.puller(longer).pull()
    world.clock.moment += 60_000

    await first.pull()

    assert await world.one("SELECT seq FROM stream") == 3
    assert world.fence.generation == Generation(START)


async def test_what_was_written_off_is_no_end_that_was_known(world: World) -> None:
    """Its file is not named in each answer, since others have their turns; that says nothing."""
    edge = await _pull_one(world, 1)
    stream, puller = edge.streams[0], world.puller(edge)
    stream.add(world.epoch, [a_record(2)])
    edge.closed = True
    edge.limit = 0
    silent = replace(edge.answer({}), batches=())
    named = replace(silent, unreadable=(f"{stream.id.hex()}.db",)).to_json()
    edge.fault = named
    await puller.pull()
    await world.store.abandon_stream(stream.id, world.clock.now())
    await puller.pull()
    _hear(edge)
    assert edge.acknowledged
    world.clock.moment += 60_000

    for told in (edge.answer({}).to_json(), named, edge.answer({}).to_json()):
        for _ in range(2):
            edge.fault = told
            await puller.pull()

    assert world.fence.generation == Generation(START)


async def test_a_branch_that_was_acknowledged_and_is_new_is_told(world: World) -> None:
    """The database is older than the branch: its cursor is beyond it, and knows nothing of it."""
    edge = await _pull_one(world, 3)
    stream = edge.streams[0]
    del stream.batches[1:]
    stream.add(world.epoch, [a_record(9)])
    edge.closed, edge.acknowledged = True, {stream.id}
    world.clock.moment += 60_000
    puller = world.puller(edge)

    await puller.pull()
    assert world.fence.generation == Generation(START)
    await puller.pull()

    assert world.fence.generation == Generation(world.clock.moment)


async def _copy_of(world: World, edge: Edge, left: int) -> Edge:
    """Return a machine that has the first *left* batches of that edge's stream."""
    copy = await world.add_edge()
    stream = edge.streams[0]
    copy.streams.append(FileOfBatches(stream.id, Random(8), stream.batches[:left]))
    copy.closed = True
    return copy


def _hear(edge: Edge) -> None:
    """Keep what was acknowledged to the end."""
    safe = edge.asked[-1].acknowledged
    heads = [stream.head() for stream in edge.streams]
    edge.acknowledged |= {
        head.id for head in heads if safe.get(head.id) == (head.last_seq, head.last_chain)
    }


async def _pull_one(world: World, batches: int = 1) -> Edge:
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(batches):
        stream.add(world.epoch, [a_record(1 + number)])
    await world.puller(edge).pull()
    return edge


async def _claim(path: Path, writer: Writer, readers: Readers, world: World) -> Fence:
    return await Fence.claim(
        path,
        writer,
        readers,
        machine="here",
        clock=world.clock,
        entropy=Random(9).randbytes,
    )
