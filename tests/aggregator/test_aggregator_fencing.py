"""Fencing: which copy of the combined database counts, and which process may write it."""

import shutil
from pathlib import Path
from random import Random

import pytest

from aggregator.fencing.fence import Fence
from aggregator.fencing.rules import next_generation
from milepost.database import Readers, Writer, open_database
from milepost.errors import ConfigError
from milepost.mark.file import mark_path, read_mark
from milepost.mark.rules import Mark
from milepost.vocabulary import Generation, Millis
from tests.aggregator.combined_world import START, Edge, World, a_record


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


async def _pull_one(world: World) -> Edge:
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
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
