"""Visitor hashes that come late: by way of the key server, each once, whatever fails."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.hashes.judging import (
    CALL_BYTES_MAX,
    CALL_RECORDS_MAX,
    REST_MS_MAX,
    GivenUp,
    Kept,
    Resting,
    fitting,
    judge,
)
from aggregator.hashes.store import USABLE
from milepost.batch import Batch
from milepost.errors import RejectedError
from milepost.hashing import ITEM_BYTES_MAX, Fault, Hashes, Item, Unanswered, parse_hashes
from milepost.record import raw_record
from milepost.seal import seal_addresses
from milepost.tokens import MacKeys
from milepost.visitor import visitor_hash
from milepost.vocabulary import BatchId, Millis, VisitorHash
from tests.aggregator.combined_world import FileOfBatches, World, a_record, an_epoch
from tests.kernel.kernel_values import a_header

HOME, WORK = "192.0.2.1", "2001:db8:1:2::/64"
RESTED = 15 * 60  # seconds after which every box that was kept is asked for again


async def a_stream(world: World) -> FileOfBatches:
    """Return a stream of a new edge."""
    return (await world.add_edge()).begin()


async def pull(world: World) -> None:
    """Pull every edge once."""
    for edge in world.edges:
        await world.puller(edge).pull()


async def visitors(world: World) -> dict[str, str | None]:
    """Return who each path's hit counts as."""
    rows = await world.readers.rows("SELECT path, visitor FROM hits ORDER BY path")
    return {str(path): visitor for path, visitor in rows}


async def boxes(world: World) -> int:
    """Return how many address boxes are left."""
    return int(await world.one("SELECT count(*) FROM address_box"))


def hashed(world: World, address: str) -> str:
    """Return what an edge with the salt would have made of *address*."""
    return visitor_hash(world.epoch.salt, address).hex()


def without(stream: FileOfBatches, world: World, number: int, **more: Any) -> Batch:
    """Add a batch of one record that has no hash."""
    record = a_record(number, visitor=None)
    return stream.add(world.epoch, [record], addresses={0: HOME}, **more)


async def test_missing_hashes_are_filled_in(world: World) -> None:
    """Those that are there stay, who opted out stays out, and then the box is gone."""
    stream = await a_stream(world)
    records = [
        a_record(0, visitor=None),
        a_record(1, visitor=VisitorHash(b"e" * 16)),
        a_record(2, visitor=None, opt_out=True),
        a_record(3, visitor=None),
    ]
    stream.add(world.epoch, records, addresses={0: HOME, 1: WORK, 3: WORK})
    await pull(world)

    await world.asker.step()

    assert await visitors(world) == {
        "/spring?n=0": hashed(world, HOME),
        "/spring?n=1": (b"e" * 16).hex(),
        "/spring?n=2": None,
        "/spring?n=3": hashed(world, WORK),
    }
    assert await boxes(world) == 0


async def test_an_address_of_one_who_opted_out_counts_for_nothing(world: World) -> None:
    """No edge seals one; should it come all the same, there is no hash of it."""
    stream = await a_stream(world)
    records = [a_record(0, visitor=None, opt_out=True), a_record(1, visitor=None)]
    stream.add(world.epoch, records, addresses={0: HOME, 1: HOME})
    await pull(world)

    await world.asker.step()

    assert await visitors(world) == {"/spring?n=0": None, "/spring?n=1": hashed(world, HOME)}


async def test_raw_records_keep_their_place(world: World) -> None:
    """A hash goes to the record of its place in the batch, however many before it are no hits."""
    stream = await a_stream(world)
    broken = raw_record(0, a_record(9), "it broke", 100)
    stream.add(world.epoch, [a_record(1, visitor=None)], raw=[broken], addresses={0: WORK, 1: HOME})
    await pull(world)

    await world.asker.step()

    assert await visitors(world) == {"/spring?n=1": hashed(world, HOME)}
    assert await boxes(world) == 0


async def test_a_key_server_that_is_down_costs_time_alone(world: World) -> None:
    """It is asked again with longer pauses, and then everything is hashed."""
    stream = await a_stream(world)
    for number in range(30):
        without(stream, world, number)
    await pull(world)
    world.keys.down = True
    pauses = [await world.asker.step() for _ in range(8)]

    world.keys.down = False
    for _ in range(12):
        await world.asker.step()

    assert min(pauses) >= 1.0
    assert set((await visitors(world)).values()) == {hashed(world, HOME)}
    assert await boxes(world) == 0


async def test_after_an_outage_the_oldest_epoch_comes_first(world: World) -> None:
    """Whatever its batches are called, and whenever they came: its salt dies first."""
    stream = await a_stream(world)
    for number in range(12):
        epoch = world.keys.epochs[8 if number < 6 else 7]
        name = BatchId(bytes([number]) * 16)
        record = a_record(number, visitor=None)
        stream.add(epoch, [record], addresses={0: HOME}, batch=name)
    await pull(world)
    world.keys.down = True
    for _ in range(12):  # calls become smaller, until some boxes have had one of their own
        await world.asker.step()
    world.keys.down = False
    world.keys.hash_calls.clear()
    world.clock.moment += 5_000
    for _ in range(6):
        await world.asker.step()

    order = [batch[0] for batches in world.keys.hash_calls for batch in batches]
    assert order == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]
    assert await boxes(world) == 0
    plan = await world.readers.rows(f"EXPLAIN QUERY PLAN {USABLE}", (7, b"", 10))
    assert "COVERING INDEX address_box_by_epoch ((epoch,batch)>" in str(
        [tuple(row) for row in plan]
    )
    assert "TEMP B-TREE" not in str([tuple(row) for row in plan])


async def test_a_box_that_no_call_survives_holds_up_no_other(world: World) -> None:
    """Calls become smaller until it is alone, and it is passed over."""
    stream = await a_stream(world)
    batches = [without(stream, world, number) for number in range(30)]
    world.keys.poison = sorted(batch.header.batch for batch in batches)[11]
    await pull(world)

    for _ in range(40):
        await world.asker.step()

    assert await boxes(world) == 1
    assert list((await visitors(world)).values()).count(hashed(world, HOME)) == 29


async def test_what_is_final_is_given_up(world: World) -> None:
    """Destroyed, forged, moved or unknown to the right key server: the box goes, the hit stays."""
    stream = await a_stream(world)
    destroyed = stream.add(world.keys.epochs[8], [a_record(1, visitor=None)], addresses={0: HOME})
    world.keys.destroyed.add(8)
    moved = destroyed.addresses
    record = a_record(2, visitor=None)
    first = stream.add(world.epoch, [record])
    stream.batches.pop()
    stream.add_boxes(first.header, first.records, moved)
    third = stream.add(world.epoch, [a_record(3, visitor=None)])
    stream.batches.pop()
    forged = seal_addresses(
        third.header, {0: HOME}, world.epoch.public.address_key, "milepost_guess"
    )
    stream.add_boxes(third.header, third.records, forged)
    without(stream, world, 4)
    await pull(world)

    await world.asker.step()

    assert await visitors(world) == {
        **dict.fromkeys(("/spring?n=1", "/spring?n=2", "/spring?n=3")),
        "/spring?n=4": hashed(world, HOME),
    }
    assert await boxes(world) == 0


async def test_what_a_person_can_mend_is_kept(world: World) -> None:
    """A tokens file without the edge's key: asked again after a rest, hashed once it is there."""
    stream = await a_stream(world)
    without(stream, world, 1)
    await pull(world)
    macs = world.keys.macs
    world.keys.macs = MacKeys({}, ("edge-dfw",))

    for _ in range(3):
        await world.asker.step()
    asked_meanwhile = len(world.keys.hash_calls)
    world.keys.macs = macs
    await world.clock.sleep(RESTED)
    await world.asker.step()

    assert asked_meanwhile == 1
    assert await visitors(world) == {"/spring?n=1": hashed(world, HOME)}
    assert await boxes(world) == 0


async def test_a_key_server_of_another_identity_is_not_asked(world: World) -> None:
    """Whatever it said, no box is given up for it."""
    stream = await a_stream(world)
    without(stream, world, 1)
    await pull(world)
    world.keys.become_another()
    with pytest.raises(RejectedError, match="not signed"):
        await world.keyring.watch()

    await world.asker.step()

    assert world.keys.hash_calls == []
    assert await boxes(world) == 1


async def test_an_unknown_epoch_is_given_up_only_when_the_list_agrees(world: World) -> None:
    """A key server that lost its newest rows for a moment costs no box."""
    stream = await a_stream(world)
    batch = without(stream, world, 1)
    item = Item(batch.header, batch.addresses)
    answer = Unanswered(batch.header.batch, Fault.UNKNOWN_EPOCH, "there is no epoch 7")

    assert isinstance(judge([(item, answer)], world.keyring.disowned)[0], Kept)
    assert isinstance(judge([(item, answer)], lambda _: True)[0], GivenUp)


async def test_only_opened_batches_are_asked_for(world: World) -> None:
    """What waits for its key, or is set aside, keeps its box until it is opened."""
    stream = await a_stream(world)
    world.keys.down = True
    without(stream, world, 1)
    other = an_epoch(9, Random(9))
    stream.add(other, [a_record(2, visitor=None)], addresses={0: HOME})
    await pull(world)
    world.keys.down = False
    await world.asker.step()
    before = list(world.keys.hash_calls)

    await world.clock.sleep(2)
    await world.late.step()
    await world.asker.step()

    assert before == []
    assert await visitors(world) == {"/spring?n=1": hashed(world, HOME)}
    assert await boxes(world) == 1, "of the batch that is set aside"


async def test_dying_before_or_after_the_answer_changes_nothing(world: World) -> None:
    """Asked again after a restart, or told twice, the hits are the same."""
    stream = await a_stream(world)
    batch = without(stream, world, 1)
    await pull(world)
    items = await world.hashes.boxes([batch.header.batch])
    answer = Hashes(batch.header.batch, {0: VisitorHash(bytes.fromhex(hashed(world, HOME)))})
    await world.restart()

    first = await world.hashes.settle([answer])
    again = await world.hashes.settle([Hashes(batch.header.batch, {0: VisitorHash(bytes(16))})])
    await world.asker.step()

    assert [item.header for item in items] == [batch.header]
    assert (first["hashed"], dict(again)) == (1, {})
    assert await visitors(world) == {"/spring?n=1": hashed(world, HOME)}


async def test_a_commit_that_fails_drops_no_box(world: World) -> None:
    """Hashes and box go together: half of it is never true."""
    stream = await a_stream(world)
    without(stream, world, 1)
    await pull(world)
    await world.writer.transact(
        lambda db: db.execute(
            "CREATE TRIGGER full BEFORE DELETE ON address_box "
            "BEGIN SELECT raise(ROLLBACK, 'the disk is full'); END"
        )
    )
    with pytest.raises(Exception, match="the disk is full"):
        await world.asker.ask()

    assert await boxes(world) == 1
    assert await visitors(world) == {"/spring?n=1": None}


def an_item(box: bytes, number: int = 1) -> Item:
    """Return an item that nobody will open."""
    return Item(a_header(number), box)


def test_a_call_is_as_large_as_the_key_server_takes() -> None:
    """At least one box, and no more than fit; what nobody takes has no weight."""
    half = an_item(bytes(CALL_BYTES_MAX // 3))
    huge = an_item(bytes(ITEM_BYTES_MAX + 1))
    long = Item(replace(a_header(1), count=CALL_RECORDS_MAX // 2), b"x")

    assert fitting([half, half, half, half]) == 2
    assert fitting([long, long, long]) == 2
    assert fitting([huge, huge, half]) == 3
    assert fitting([an_item(b"x")] * 20) == 20
    assert fitting([]) == 0


@given(st.integers(1, 40))
def test_a_box_that_is_kept_rests_longer_each_time(times: int) -> None:
    """From five seconds to ten minutes, and never for good."""
    resting, now, before = Resting(), Millis(0), 0
    batch = BatchId(b"b" * 16)
    for _ in range(times):
        resting.lay(batch, now)
        seconds = range(0, REST_MS_MAX + 2, 1_000)
        rest = next(ms for ms in seconds if not resting.rests(batch, Millis(now + ms)))
        assert before <= rest <= REST_MS_MAX
        now, before = Millis(now + rest), rest

    resting.forget([batch])
    assert not resting.rests(batch, now)


@pytest.mark.parametrize(
    "items",
    [
        None,
        [],
        [{"batch": "00" * 16, "hashes": {}}],
        [{"batch": a_header().batch.hex()}],
        [{"batch": a_header().batch.hex(), "hashes": []}],
        [{"batch": a_header().batch.hex(), "hashes": {"0": "00"}}],
        [{"batch": a_header().batch.hex(), "hashes": {"1": "00" * 16}}],
        [{"batch": a_header().batch.hex(), "hashes": {"x": "00" * 16}}],
    ],
)
def test_an_answer_that_is_none_is_refused(items: Any) -> None:
    """Whatever is at the key server's address, nothing is written for it."""
    with pytest.raises(RejectedError):
        parse_hashes({"items": items}, [an_item(b"box")])


def test_a_fault_of_a_newer_version_gives_nothing_up() -> None:
    """What cannot be understood is asked again."""
    told = {"batch": a_header().batch.hex(), "code": "new", "error": "x" * 1_000}
    (answer,) = parse_hashes({"items": [told]}, [an_item(b"box")])

    assert isinstance(answer, Unanswered)
    assert answer.fault is Fault.MALFORMED
    assert len(answer.text) < 1_000
