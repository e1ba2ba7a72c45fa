"""Pulling: real sealed batches over a real socket into a real database."""

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.opening.batches import Opened
from aggregator.pulling.pace import PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN
from aggregator.pulling.safe import Replica, Safe
from aggregator.pulling.select import select
from milepost.batch import first_chain
from milepost.errors import UnavailableError
from milepost.litestream import Litestream
from milepost.record import Body
from milepost.sqlite import connect
from milepost.vocabulary import Seq
from milepost.wire import Cursor
from tests.aggregator.combined_world import START, World, a_record


async def test_what_is_pulled_becomes_hits(world: World) -> None:
    """Records come out of their box as they went in, and the tally beside them."""
    edge = await world.add_edge()
    batch = edge.begin().add(world.epoch, [a_record(1), a_record(2, visitor=None, opt_out=True)])

    assert await world.puller(edge).pull()

    name = batch.header.batch.hex()
    assert await world.hits() == [(f"{name}:0", "/spring?n=1"), (f"{name}:1", "/spring?n=2")]
    assert await world.tally() == {"dfw": (2, 0, 1, 2)}
    assert await world.one("SELECT accepted FROM meter") == 2


async def test_an_older_meter_hides_nothing(world: World) -> None:
    """A log that was rolled back brings its meter along; what was accepted once stays so."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    older = edge.answer({})
    stream.add(world.epoch, [a_record(2)])
    puller = world.puller(edge)
    await puller.pull()

    edge.fault = older.to_json()
    await puller.pull()

    assert await world.one("SELECT accepted FROM meter") == 2


async def test_an_answer_that_comes_again_changes_nothing(world: World) -> None:
    """A reader that lost its cursors, as far as the edge can tell, counts nothing twice."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    puller = world.puller(edge)
    await puller.pull()
    before = await world.hits(), await world.tally()
    answer = edge.answer({})
    edge.fault = answer.to_json()

    assert not await puller.pull()

    assert (await world.hits(), await world.tally()) == before


async def test_each_step_acknowledges_the_one_before(world: World) -> None:
    """The edge hears how far it may forget only after that is committed."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    puller = world.puller(edge)

    await puller.pull()
    await puller.pull()

    assert [asked.acknowledged for asked in edge.asked] == [
        {},
        {stream.id: Cursor(stream.head().last_seq, stream.chain)},
    ]
    assert edge.asked[1].cursors == edge.asked[1].acknowledged
    assert edge.asked[0].generation == START


class FirstFails:
    """A copy whose first sync fails."""

    def __init__(self) -> None:
        self.behind = False
        self.syncs = 0

    async def sync(self) -> None:
        """Count, and fail the first time."""
        self.syncs += 1
        if self.syncs == 1:
            msg = "litestream: ClientError"
            raise UnavailableError(msg)


async def test_with_replication_only_the_replicated_is_acknowledged(world: World) -> None:
    """What a sync had begun with is safe when it has succeeded, and not a moment before."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    copy = FirstFails()
    world.safe = Safe(world.store, copy)
    puller = world.puller(edge)
    await puller.pull()
    with pytest.raises(UnavailableError):
        await world.safe.replicate()
    await puller.pull()
    await world.safe.replicate()
    await world.safe.replicate()
    await puller.pull()

    assert [len(asked.acknowledged) for asked in edge.asked] == [0, 0, 1]
    assert copy.syncs == 2


async def test_nothing_is_synced_before_litestream_holds_it(world: World) -> None:
    """It would answer 404, at every start; nothing is acknowledged meanwhile."""
    copy = FirstFails()
    copy.syncs, copy.behind = 1, True
    safe = Safe(world.store, copy)
    await safe.replicate()
    asked_early = copy.syncs > 1
    copy.behind = False
    await safe.replicate()

    assert not asked_early
    assert copy.syncs == 2


def test_a_replica_is_behind_until_litestream_knows_the_database(tmp_path: Path) -> None:
    """Whoever has not been told of it cannot copy it."""
    litestream = Litestream(tmp_path / "s", "file:///copies")
    litestream.hold(tmp_path / "combined.db", "combined")

    assert Replica(litestream, tmp_path / "combined.db").behind


async def test_a_batch_in_two_streams_counts_once(world: World) -> None:
    """A commit that failed but happened is repeated under its batch id in the next stream."""
    edge = await world.add_edge()
    first, second = edge.begin(), edge.begin()
    batch = first.add(world.epoch, [a_record(1)])
    second.add(world.epoch, [a_record(1)], batch=batch.header.batch)
    second.add(world.epoch, [a_record(2)])

    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=1", "/spring?n=2"]
    assert await world.tally() == {"dfw": (2, 0, 2, 4)}
    assert await world.one("SELECT sum(seq) FROM stream") == 3


async def test_dying_before_the_commit_costs_nothing(world: World) -> None:
    """An answer that was fetched and not applied is fetched again."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    # Another process holds the write lock, so the commit cannot happen.
    holder = connect(world.path)
    holder.execute("BEGIN IMMEDIATE")
    world.writer._connection.execute("PRAGMA busy_timeout=10")
    with pytest.raises(UnavailableError):
        await world.puller(edge).pull()
    holder.close()
    await world.restart()
    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=1"]


async def test_dying_after_the_commit_costs_nothing(world: World) -> None:
    """A commit that happened and was not heard of is not repeated."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    await world.puller(edge).pull()
    await world.restart()

    assert not await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=1"]
    assert edge.asked[-1].generation == START


async def test_ids_that_were_rolled_back_are_forgotten(world: World) -> None:
    """A failed transaction teaches nothing: its strings get their ids from the next one.

    The first answer inserts its strings and then fails, since its cursor was
    moved meanwhile.  The second is of other strings, which get the same ids.
    """
    edge, other = await world.add_edge(), await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1, path="/rolled-back", host="b.example")])
    other.begin().add(world.epoch, [a_record(2)])
    answer = edge.answer({})
    selection = select({}, answer)
    outcomes = [
        Opened(batch, Body((a_record(1, path="/rolled-back"),))) for batch in answer.batches
    ]
    moved = replace(selection, before={stream.id: Cursor(Seq(5), stream.chain)})

    with pytest.raises(UnavailableError, match="moved meanwhile"):
        await world.store.apply(edge.url, answer, moved, outcomes, world.clock.now())
    await world.puller(other).pull()
    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=2", "/rolled-back"]


async def test_a_failing_source_delays_no_other(world: World) -> None:
    """Its error is its own, and its pauses grow; the other goes on."""
    bad, good = await world.add_edge("cdg"), await world.add_edge("nrt")
    good.begin().add(world.epoch, [a_record(1)])
    bad.fault = {"source": "nonsense"}
    broken, healthy = world.puller(bad), world.puller(good)

    pauses = [await broken.step() for _ in range(9)]
    pause = await healthy.step()

    assert pause == 0
    assert await world.paths() == ["/spring?n=1"]
    assert broken.last_error == "source: want an object"
    assert healthy.last_error is None
    assert PAUSE_SECONDS_MIN / 2 <= pauses[0] <= PAUSE_SECONDS_MIN
    assert PAUSE_SECONDS_MAX / 2 <= pauses[-1] <= PAUSE_SECONDS_MAX


async def test_a_source_that_refuses_is_reported_and_kept(world: World) -> None:
    """A generation that was overtaken is told by the source; nothing here moves."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    edge.fault = {"detail": "a newer database reads here"}
    puller = world.puller(edge)

    await puller.step()

    assert puller.last_error == "a newer database reads here"
    assert puller.superseded
    assert await world.one("SELECT count(*) FROM stream") == 0
    edge.fault = None
    await puller.step()
    assert not puller.superseded


async def test_a_broken_stream_does_not_make_the_pulling_spin(world: World) -> None:
    """The same refused batch, offered at once each time, is asked for ever more rarely."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    stream.batches[0] = replace(stream.batches[0], chain=first_chain(stream.id))
    puller = world.puller(edge)

    pauses = [await puller.step() for _ in range(4)]

    assert pauses[0] > 0
    assert pauses[3] > pauses[0]
    assert await world.one("SELECT fault FROM stream") == "batch 1 does not follow the chain"


async def test_a_stream_that_two_sources_have_counts_once(world: World) -> None:
    """A volume that was copied brings the same stream from a second address."""
    first, second = await world.add_edge(), await world.add_edge()
    first.begin().add(world.epoch, [a_record(1)])
    second.streams = first.streams

    await world.puller(first).pull()
    await world.puller(second).pull()

    assert await world.paths() == ["/spring?n=1"]


async def test_an_idle_source_causes_no_commit(world: World) -> None:
    """A poll that brings nothing new writes nothing, or a quiet night would fill the replica."""
    edge = await world.add_edge()
    edge.begin().add(world.epoch, [a_record(1)])
    puller = world.puller(edge)
    await puller.pull()
    commits = world.store.commits

    await puller.pull()

    assert world.store.commits == commits


async def test_what_was_announced_stays_promised(world: World) -> None:
    """A file that comes back shorter does not make the loss invisible."""
    edge = await world.add_edge()
    stream = edge.begin()
    for number in range(3):
        stream.add(world.epoch, [a_record(number)])
    edge.limit = 1
    puller = world.puller(edge)
    await puller.pull()
    del stream.batches[1:]
    await puller.pull()

    assert await world.one("SELECT last_seq - seq FROM stream") == 2
    assert await world.one("SELECT last_records - records FROM stream") == 2


async def test_counts_beyond_reason_stop_nobody(world: World) -> None:
    """A sum that would not fit is capped, and the next answer is still applied."""
    edge = await world.add_edge()
    stream = edge.begin()
    huge = f"[[{START},0,0,{(1 << 53) - 1},0]]"
    for _ in range(3):
        stream.add(world.epoch, [], tally=huge)

    await world.puller(edge).pull()

    assert (await world.tally())["dfw"] == (0, 0, (1 << 53) - 1, 0)
