"""Reconciling through the real store: what is pulled, and what the database then says."""

from typing import Any

from structlog.testing import capture_logs

from aggregator.reconciling.reckoner import Reckoner
from aggregator.reconciling.rules import Reckoning
from aggregator.reconciling.summing import Range, Summary
from milepost.batch import HOUR_MS, hour_of
from milepost.record import RawRecord
from milepost.vocabulary import Millis
from tests.aggregator.combined_world import (
    DAMAGED,
    NOTHING,
    START,
    Edge,
    FileOfBatches,
    World,
    a_record,
    an_epoch,
)

HOUR = hour_of(START)
ALL = Range(start_ms=0, end_ms=1 << 62)
RAW = RawRecord(index=1, reason="TypeError: no", fields={"host": "?", "path": "/b"})
MINUTE_MS = 60_000


async def reckoned(world: World) -> Summary:
    """Return what became of everything."""
    return await Reckoner(world.readers).reckon(ALL)


async def total(world: World) -> Reckoning:
    """Return the sums over everything; whatever a test does by honest means, it adds up."""
    found = (await reckoned(world)).total
    assert found.unaccounted == 0
    return found


async def change(world: World, sql: str, *values: Any) -> None:
    """Change the database behind everybody's back."""
    await world.writer.transact(lambda db: db.execute(sql, values))


async def an_edge(world: World, records: int = 3) -> tuple[Edge, FileOfBatches]:
    """Return an edge with a stream of *records* in one batch."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(number) for number in range(records)])
    return edge, stream


def end(stream: FileOfBatches) -> None:
    """Let the life behind *stream* be over."""
    stream.open = stream.alive = False


async def test_what_is_pulled_adds_up(world: World) -> None:
    """A life that goes on: recorded is pulled, what its meter has beyond that is behind."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (2, 1, 0)

    await world.puller(edge).pull()

    found = await total(world)
    assert (found.served, found.recorded, found.behind, found.lost) == (9, 3, 2, 0)
    assert (found.shed, found.excluded, found.pulled) == (2, 2, 3)


async def test_what_died_uncommitted_is_lost_by_number(world: World) -> None:
    """As soon as its source says that it is over, and its streams are pulled to their ends."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (2, 0, 0)
    puller = world.puller(edge)
    await puller.pull()
    end(stream)
    await puller.pull()

    found = await total(world)
    assert (found.served, found.recorded, found.behind, found.lost) == (8, 3, 0, 2)


async def test_hours_are_those_of_the_records(world: World) -> None:
    """Also when an hour ends within a batch."""
    edge = await world.add_edge()
    times = [START, START + HOUR_MS, START + HOUR_MS + 1]
    edge.begin().add(world.epoch, [a_record(n, time=Millis(t)) for n, t in enumerate(times)])
    await world.puller(edge).pull()

    hours = {place: (one.recorded, one.pulled) for place, one in (await reckoned(world)).hours}

    assert hours == {("dfw", HOUR): (1, 1), ("dfw", HOUR + HOUR_MS): (2, 2)}
    assert (await total(world)).unaccounted == 0


async def test_what_waits_is_waiting_until_it_is_pulled(world: World) -> None:
    """The key server is away: the records are in the database, sealed."""
    edge, _ = await an_edge(world)
    world.keys.down = True
    await world.puller(edge).pull()
    found = await total(world)
    assert (found.recorded, found.waiting, found.pulled) == (3, 3, 0)

    world.keys.down = False
    world.clock.moment += 2_000
    await world.late.step()

    found = await total(world)
    assert (found.recorded, found.waiting, found.pulled) == (3, 0, 3)


async def test_what_is_set_aside_is_counted_there(world: World) -> None:
    """A batch whose epoch nobody knows, and a record that its edge could not encode."""
    edge, stream = await an_edge(world)
    stream.add(an_epoch(9, edge.chance), [a_record(1), a_record(2)])
    stream.add(world.epoch, [a_record(4)], raw=[RAW])

    await world.puller(edge).pull()

    found = await total(world)
    assert (found.recorded, found.pulled, found.set_aside) == (7, 4, 3)


async def test_a_record_set_aside_alone_counts_in_an_hour_that_lacks_one(world: World) -> None:
    """It tells no time itself; the tally does."""
    edge = await world.add_edge()
    later = HOUR + HOUR_MS
    tally = f"[[{HOUR},1,0,0,0],[{later},2,0,0,0]]"
    records = [a_record(0), a_record(2, time=Millis(later))]
    edge.begin().add(world.epoch, records, raw=[RAW], tally=tally)
    await world.puller(edge).pull()

    hours = {place: (one.pulled, one.set_aside) for place, one in (await reckoned(world)).hours}

    assert hours == {("dfw", HOUR): (1, 0), ("dfw", later): (1, 1)}
    assert (await total(world)).recorded == 3


async def test_a_damaged_batch_is_set_aside(world: World) -> None:
    """It is no loss: what is damaged is there, and kept."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (2, 0, 0)
    end(stream)
    await world.puller(edge).pull()
    await change(
        world, f"{DAMAGED} VALUES (?, 2, 2, ?, {NOTHING})", stream.id, f"[[{HOUR},2,0,0,0]]"
    )
    found = await total(world)
    assert (found.recorded, found.set_aside, found.lost) == (5, 2, 0)

    await change(world, "UPDATE damaged SET tally = 'noise'")
    assert (await total(world)).set_aside == 2


async def test_hits_that_are_removed_stay_counted(world: World) -> None:
    """Retention and erasure are no losses."""
    edge, _ = await an_edge(world)
    await world.puller(edge).pull()
    await change(world, "DELETE FROM hit")

    assert (await total(world)).pulled == 3


async def test_a_hit_too_many_is_an_alarm(world: World) -> None:
    """Whoever writes one hit more counts it where it is written; the tally does not have it."""
    edge, _ = await an_edge(world)
    await world.puller(edge).pull()
    reckoner = Reckoner(world.readers)
    await reckoner.step()
    assert reckoner.notes() == {}

    await change(world, "UPDATE tally SET pulled = pulled + 1")
    with capture_logs() as lines:
        await reckoner.step()
        await reckoner.step()

    assert (await reckoned(world)).total.unaccounted == 1
    assert [place for place, _ in (await reckoned(world)).alarms] == [("dfw", HOUR)]
    assert "1 clicks are unaccounted for" in reckoner.notes()["unaccounted"]
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("clicks.unaccounted", "error")
    assert (line["clicks"], line["worst_region"], line["worst_hour_ms"]) == (1, "dfw", HOUR)
    await change(world, "UPDATE tally SET pulled = pulled - 1")
    await reckoner.step()
    assert reckoner.notes() == {}


async def test_a_batch_applied_twice_is_an_alarm(world: World) -> None:
    """Under two ids it would be two batches to us; the meter knows how many there were."""
    edge, stream = await an_edge(world)
    copy = stream.batches[0]
    stream.add(world.epoch, [a_record(number) for number in range(copy.header.count)])
    stream.more[HOUR] = (-copy.header.count, -1, -2)

    await world.puller(edge).pull()

    found = (await reckoned(world)).total
    assert (found.served, found.recorded, found.unaccounted) == (6, 6, 6)


async def test_a_batch_that_comes_twice_counts_once(world: World) -> None:
    """In another stream of its life, after a commit that seemed to fail."""
    edge, stream = await an_edge(world)
    batch = stream.batches[0].header.batch
    stream.add(world.epoch, [a_record(number) for number in range(3)], batch=batch)

    await world.puller(edge).pull()

    assert (await total(world)).recorded == 3


async def test_a_source_that_is_silent_is_behind(world: World) -> None:
    """Nobody knows better: what it has told of may still come."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    await world.puller(edge).pull()
    edge.fault = {"detail": "away"}

    found = await total(world)
    assert (found.behind, found.lost) == (5, 0)
    assert (await reckoned(world)).spans == []


async def test_a_source_that_is_gone_is_behind_until_its_replica_was_read(world: World) -> None:
    """Then what it had accepted is lost, by number, and the rest is a span of time."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    await world.puller(edge).pull()
    await change(world, "UPDATE source SET gone_ms = ?", START)
    assert (await total(world)).behind == 5
    assert len((await reckoned(world)).spans) == 1

    await change(world, "UPDATE stream SET swept_ms = ?", START)
    assert (await total(world)).lost == 5

    await change(world, "UPDATE stream SET swept_ms = NULL, abandoned_ms = ?", START)
    assert (await total(world)).lost == 5


async def test_a_log_that_vanished_is_lost_by_number_and_a_span(world: World) -> None:
    """By number what it had announced; and from its last answer on until the next life began."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    puller = world.puller(edge)
    world.clock.moment += 1_000
    await puller.pull()
    told = world.clock.moment
    edge.streams.clear()
    edge.begin().add(world.epoch, [a_record(9)])
    world.clock.moment += 10_000
    await puller.pull()
    await change(world, "UPDATE life SET started_ms = ? WHERE life <> ?", told + 5_000, stream.id)

    found = await total(world)
    (span,) = (await reckoned(world)).spans
    assert (found.recorded, found.lost, found.behind) == (4, 5, 0)
    assert (span.region, span.machine, bytes(span.life)) == ("dfw", "local", bytes(stream.id))
    assert (span.from_ms, span.until_ms) == (told, told + 5_000)


async def test_with_replicas_a_log_that_vanished_may_come_back(world: World) -> None:
    """Nothing is lost before the replica was read to its end."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    await world.puller(edge).pull()
    edge.streams.clear()
    await world.puller(edge).pull()
    sweeping = Reckoner(world.readers, sweeps=True)
    assert (await sweeping.reckon(ALL)).total.behind == 5

    await change(world, "UPDATE stream SET swept_ms = ?", START)
    assert (await sweeping.reckon(ALL)).total.lost == 5


async def test_a_file_that_cannot_be_read_has_not_gone(world: World) -> None:
    """What its life accepted is behind for as long as somebody may mend it."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    await world.puller(edge).pull()
    answer = edge.answer({})
    edge.fault = {
        **answer.to_json(),
        "streams": [],
        "lives": [{**answer.to_json()["lives"][0], "alive": False}],
        "batches": [],
        "unreadable": [f"{stream.id.hex()}.db"],
    }
    await world.puller(edge).pull()

    assert (await total(world)).behind == 5


async def test_a_meter_that_comes_back_lower_hides_nothing(world: World) -> None:
    """The machine lost its power: what was told stays, and there is a span beside it."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    puller = world.puller(edge)
    world.clock.moment += 1_000
    await puller.pull()
    told = world.clock.moment
    world.clock.moment += 5_000
    stream.more[HOUR] = (-2, 0, 0)
    end(stream)
    await puller.pull()
    world.clock.moment += 2 * MINUTE_MS
    await puller.pull()  # it is as low as ever, and was told of since

    found = await total(world)
    (span,) = (await reckoned(world)).spans
    assert (found.served, found.recorded, found.lost) == (11, 3, 5)
    assert span.from_ms == told


async def test_a_meter_older_than_its_batches_leaves_a_span(world: World) -> None:
    """Nothing was told before that would show it, but the batches do."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (-2, 0, 0)
    end(stream)
    await world.puller(edge).pull()

    found = await total(world)
    (span,) = (await reckoned(world)).spans
    assert (found.served, found.recorded, found.lost) == (6, 3, 0)
    assert span.from_ms == START + 2  # its newest record


async def test_a_life_without_a_meter_is_what_its_streams_say(world: World) -> None:
    """What they promised and do not hold is lost, in the hour of the last record."""
    edge, stream = await an_edge(world)
    stream.metered = False
    stream.add(world.epoch, [a_record(7), a_record(8)])
    edge.limit = 1
    puller = world.puller(edge)
    await puller.pull()
    found = await total(world)
    assert (found.served, found.recorded, found.behind) == (8, 3, 2)
    assert (await reckoned(world)).spans == []

    edge.streams.clear()
    await puller.pull()

    found = await total(world)
    assert (found.served, found.recorded, found.lost) == (8, 3, 2)
    assert len((await reckoned(world)).spans) == 1


async def test_a_fork_is_settled_where_its_branch_ends(world: World) -> None:
    """The file has another history than was pulled: what is in neither is lost."""
    edge, stream = await an_edge(world)
    stream.more[HOUR] = (5, 0, 0)
    end(stream)
    await world.puller(edge).pull()
    assert (await total(world)).lost == 5
    await change(
        world,
        "UPDATE stream SET last_chain = ?, branch_seq = 0, branch_chain = chain,"
        " branch_records = 0, branch_source = source",
        bytes(32),
    )
    assert (await total(world)).behind == 5

    await change(world, "UPDATE stream SET branch_seq = 1, branch_chain = last_chain")

    assert (await total(world)).lost == 5


async def test_when_a_life_was_told_of_is_known_to_a_minute(world: World) -> None:
    """Also when nothing happens for long, and without writing at each answer."""
    edge, _ = await an_edge(world)
    puller = world.puller(edge)
    await puller.pull()
    commits = world.store.commits
    for _ in range(10):
        world.clock.moment += 30_000
        await puller.pull()

    told = await world.one("SELECT told_ms FROM life")
    assert world.clock.moment - told < MINUTE_MS
    assert world.store.commits - commits == 5
