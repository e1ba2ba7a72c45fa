"""Forks: a file with another history than was pulled is read to its end, and counts once."""

from dataclasses import replace
from random import Random

from pytest_aiohttp.plugin import AiohttpClient

from aggregator.pulling.safe import Safe
from aggregator.pulling.standing import (
    FORKED_AGAIN,
    FORKED_AT_THE_BEGINNING,
    PAUSE_MS_MAX,
    Standing,
    beginning,
    judge_forks,
)
from milepost.tokens import HITS_READ
from milepost.vocabulary import Chain, Millis, Seq
from milepost.wire import Cursor
from tests.aggregator.combined_world import START, Edge, FileOfBatches, World, a_record
from tests.aggregator.test_aggregator_set_aside import api

BRANCH = "SELECT branch_seq FROM stream"


async def a_pulled_stream(world: World, count: int) -> tuple[Edge, FileOfBatches]:
    """Return an edge and its stream of which everything is applied."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(count):
        stream.add(world.epoch, [a_record(number)])
    await world.puller(edge).pull()
    return edge, stream


def roll_back(stream: FileOfBatches, left: int) -> None:
    """Have the file end where it once did."""
    del stream.batches[left:]


async def test_a_file_that_was_rolled_back_is_read_once_and_acknowledged(world: World) -> None:
    """What is in it counts no second time, and its own end is what lets it retire."""
    edge, stream = await a_pulled_stream(world, 4)
    before = await world.hits(), await world.tally()
    roll_back(stream, 2)
    puller = world.puller(edge)

    productive = [await puller.pull() for _ in range(4)]

    assert productive == [True, True, False, False]
    assert (await world.hits(), await world.tally()) == before
    end = Cursor(Seq(2), stream.chain)
    assert edge.asked[-1].cursors == edge.asked[-1].acknowledged == {stream.id: end}
    assert await world.one("SELECT seq FROM stream") == 4
    assert await world.one("SELECT fault FROM stream") is None


async def test_what_a_fork_has_beyond_is_counted(world: World) -> None:
    """Its new batches are hits, and where it is longer it is the stream from then on."""
    edge, stream = await a_pulled_stream(world, 4)
    roll_back(stream, 2)
    for number in (12, 13):
        stream.add(world.epoch, [a_record(number)])
    puller = world.puller(edge)
    for _ in range(3):
        await puller.pull()
    beside = await world.one(BRANCH)
    stream.add(world.epoch, [a_record(14)])
    await puller.pull()

    assert await world.paths() == [f"/spring?n={n}" for n in (0, 1, 2, 3, 12, 13, 14)]
    assert (beside, await world.one(BRANCH)) == (4, None)
    assert await world.one("SELECT seq FROM stream") == 5
    assert await world.one("SELECT records FROM stream") == 5
    await puller.pull()
    assert edge.asked[-1].acknowledged == {stream.id: Cursor(Seq(5), stream.chain)}


async def test_a_file_that_comes_back_as_it_was_has_no_branch(world: World) -> None:
    """The right copy in the place of the wrong one: one history again."""
    edge, stream = await a_pulled_stream(world, 4)
    whole = list(stream.batches)
    roll_back(stream, 2)
    puller = world.puller(edge)
    await puller.pull()
    await puller.pull()
    stream.batches[:] = whole
    await puller.pull()

    assert await world.one(BRANCH) is None
    assert await world.one("SELECT seq FROM stream") == 4
    assert await world.one("SELECT records FROM stream") == 4
    assert len(await world.hits()) == 4


async def test_what_was_announced_and_is_gone_stays_missing(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """By number; and the fork is seen, with its moment, without being a fault."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(4):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 2
    puller = world.puller(edge)
    await puller.pull()
    roll_back(stream, 1)
    for _ in range(3):
        await puller.pull()
    client = await api(world, aiohttp_client, HITS_READ, pullers=[puller])
    told = (await (await client.get("/v1/sources")).json())["sources"][0]

    (listed,) = told["streams"]
    assert (listed["seq"], listed["branch_seq"], listed["last_seq"]) == (2, 1, 4)
    assert told["lag_records"] == 2
    assert listed["forked"].startswith("2025-11-20T12:")
    assert "fault" not in listed


async def test_a_file_that_changes_again_is_read_anew(world: World) -> None:
    """After a pause, so that a source that only ever says fork costs little."""
    edge, stream = await a_pulled_stream(world, 4)
    roll_back(stream, 3)
    puller = world.puller(edge)
    await puller.pull()
    await puller.pull()
    roll_back(stream, 1)
    stream.add(world.epoch, [a_record(21)])
    await puller.pull()
    paused = await world.one("SELECT fault FROM stream")
    world.clock.moment += 1_000
    for _ in range(3):
        await puller.pull()

    assert paused == FORKED_AGAIN
    assert (await world.paths())[-1] == "/spring?n=21"
    assert await world.one("SELECT fault FROM stream") is None
    assert await world.one("SELECT forks FROM stream") == 2


async def test_a_source_that_always_says_fork_makes_nobody_spin(world: World) -> None:
    """It is asked ever more rarely, and nothing moves."""
    edge, stream = await a_pulled_stream(world, 2)
    answer = replace(edge.answer({}), batches=(), forks=(stream.id,))
    edge.fault = answer.to_json()
    puller = world.puller(edge)

    pauses = [await puller.step() for _ in range(5)]

    assert pauses[0] == 0
    assert 0 < pauses[1] < pauses[4]
    assert await world.one("SELECT fault FROM stream") == FORKED_AT_THE_BEGINNING
    assert await world.one("SELECT seq FROM stream") == 2
    assert len(await world.hits()) == 2


async def test_two_files_of_one_stream_do_not_disturb_each_other(world: World) -> None:
    """The whole file goes on by the cursor, the older copy beside it by the branch."""
    edge, stream = await a_pulled_stream(world, 4)
    copy = await world.add_edge()
    older = FileOfBatches(stream.id, Random(8), stream.batches[:2])
    copy.streams.append(older)
    first, second = world.puller(edge), world.puller(copy)
    for number in range(5):
        stream.add(world.epoch, [a_record(30 + number)])
        await first.pull()
        await second.pull()

    assert len(await world.hits()) == 9
    assert await world.one("SELECT seq FROM stream") == 9
    assert await world.one(BRANCH) == 2
    assert await world.one("SELECT forks FROM stream") == 1


class Copied:
    """A copy that takes what is committed at once."""

    behind = False

    async def sync(self) -> None:
        """Have it."""


async def test_a_branch_is_acknowledged_when_it_is_replicated(world: World) -> None:
    """Until then the place before it, which lets nothing retire."""
    edge, stream = await a_pulled_stream(world, 4)
    world.safe = Safe(world.store, Copied())
    await world.safe.replicate()
    roll_back(stream, 2)
    puller = world.puller(edge)
    for _ in range(3):
        await puller.pull()
    early = edge.asked[-1].acknowledged
    await world.safe.replicate()
    await puller.pull()

    assert early[stream.id].seq == 4
    assert edge.asked[-1].acknowledged == {stream.id: Cursor(Seq(2), stream.chain)}


def test_branches_begin_ever_more_rarely() -> None:
    """The pause doubles up to an hour; a clock that was set back holds up nothing."""
    edge = Edge("dfw", 5)
    stream = edge.begin()
    answer = replace(edge.answer({}), forks=(stream.id,))
    at = Cursor(Seq(3), Chain(bytes(32)))

    def begins(forks: int, ago_ms: int) -> bool:
        standing = Standing(cursor=at, forks=forks, forked_ms=Millis(START - ago_ms))
        begun, waiting = judge_forks({stream.id: standing}, "u", answer, START)
        assert bool(begun) != bool(waiting)
        return bool(begun)

    assert judge_forks({stream.id: Standing(cursor=at)}, "u", answer, START)[0]
    assert [begins(1, 999), begins(1, 1_000)] == [False, True]
    assert [begins(3, 3_999), begins(3, 4_000)] == [False, True]
    assert [begins(99, PAUSE_MS_MAX - 1), begins(99, PAUSE_MS_MAX)] == [False, True]
    assert begins(9, -5)


def test_the_beginning_is_in_every_history() -> None:
    """Who calls it a fork, or forks what nobody announced, is not believed."""
    edge = Edge("dfw", 5)
    stream = edge.begin()
    answer = replace(edge.answer({}), forks=(stream.id, edge.begin().id))
    known = Standing(cursor=beginning(stream.id))

    for standings in ({}, {stream.id: known}):
        assert judge_forks(standings, "u", answer, START) == (
            frozenset(),
            {stream.id: FORKED_AT_THE_BEGINNING},
        )
