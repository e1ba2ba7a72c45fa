"""Opening: keys that come, come late or never, and boxes that do not open."""

from dataclasses import replace

import pytest

from aggregator.opening.batches import first_of
from aggregator.opening.keyring import KEEP_MS
from milepost.errors import RejectedError
from milepost.vocabulary import BatchId, KeyId, Seq
from tests.aggregator.combined_world import World, a_record, an_epoch


async def test_a_batch_that_was_tampered_with_is_set_aside_alone(world: World) -> None:
    """A box moved into another batch does not open; what follows is applied."""
    edge = await world.add_edge()
    stream = edge.begin()
    good = stream.add(world.epoch, [a_record(1)])
    header = replace(good.header, seq=Seq(2), batch=BatchId(bytes(16)))
    stream.add_boxes(header, good.records)
    stream.add(world.epoch, [a_record(3)])

    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=1", "/spring?n=3"]
    assert await world.one("SELECT reason FROM set_aside") == "the box belongs to another batch"
    _, set_aside = await world.store.count_sealed()
    assert (set_aside.batches, set_aside.records) == (1, 1)


async def test_a_batch_under_another_key_is_set_aside(world: World) -> None:
    """What the header says is not believed, and the next batch is applied."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)], key=KeyId(bytes(8)))
    stream.add(world.epoch, [a_record(2)])

    await world.puller(edge).pull()

    assert await world.paths() == ["/spring?n=2"]
    assert "names another key" in str(await world.one("SELECT reason FROM set_aside"))


async def test_a_destroyed_epoch_is_set_aside(world: World) -> None:
    """No key will ever come for an epoch that the key server itself does not know."""
    edge = await world.add_edge()
    edge.begin().add(an_epoch(9, edge.chance), [a_record(1)])

    await world.puller(edge).pull()

    assert await world.one("SELECT reason FROM set_aside") == "epoch 9 is unknown or destroyed"


async def test_without_the_key_server_batches_wait(world: World) -> None:
    """Down costs nothing but time: sealed, counted, acknowledged, and opened later."""
    edge = await world.add_edge()
    stream = edge.begin()
    world.keys.down = True
    stream.add(world.epoch, [a_record(1)], addresses={0: "192.0.2.1"})
    stream.add(world.epoch, [a_record(2)])
    await world.puller(edge).pull()
    waiting, _ = await world.store.count_sealed()
    assert (waiting.batches, await world.paths()) == (2, [])

    world.keys.down = False
    await world.clock.sleep(2)
    await world.late.step()

    assert await world.paths() == ["/spring?n=1", "/spring?n=2"]
    assert await world.tally() == {"dfw": (2, 0, 2, 4)}
    assert (await world.store.count_sealed())[0].batches == 0
    assert await world.one("SELECT count(*) FROM address_box") == 0


async def test_what_is_opened_late_arrives_last(world: World) -> None:
    """Who reads in the order of arrival and has passed a waiting batch still gets its hits."""
    edge = await world.add_edge()
    stream = edge.begin()
    world.keys.down = True
    stream.add(world.epoch, [a_record(1)])
    puller = world.puller(edge)
    await puller.pull()
    world.keys.down = False
    await world.clock.sleep(2)
    stream.add(world.epoch, [a_record(2)])
    await puller.pull()

    await world.late.step()

    assert await world.paths() == ["/spring?n=2", "/spring?n=1"]


async def test_a_wrong_key_server_condemns_nothing(world: World) -> None:
    """A 404 counts only from who has shown the configured identity: a typing error is no loss."""
    edge = await world.add_edge()
    edge.begin().add(an_epoch(9, edge.chance), [a_record(1)])
    world.keyring = world.new_keyring(identity=bytes(32))
    with pytest.raises(RejectedError, match="not signed"):
        await world.keyring.watch()

    await world.puller(edge).pull()

    waiting, set_aside = await world.store.count_sealed()
    assert (waiting.batches, set_aside.batches) == (1, 0)


async def test_a_key_server_that_was_exchanged_condemns_nothing(world: World) -> None:
    """One with another identity takes the place: what it does not know is not lost for that."""
    edge = await world.add_edge()
    edge.begin().add(an_epoch(9, edge.chance), [a_record(1)])
    world.keys.become_another()
    with pytest.raises(RejectedError, match="not signed"):
        await world.keyring.watch()

    await world.puller(edge).pull()

    waiting, set_aside = await world.store.count_sealed()
    assert (waiting.batches, set_aside.batches) == (1, 0)
    assert "not signed" in world.keyring.missing


async def test_a_record_key_is_kept_for_an_hour_at_most(world: World) -> None:
    """Asked once for many batches, and again when its hour is over."""
    await world.keyring.keys([world.epoch.public.number])
    await world.keyring.keys([world.epoch.public.number])
    world.clock.moment += KEEP_MS
    world.keyring.drop_old()
    held = dict(world.keyring._keys)
    await world.keyring.keys([world.epoch.public.number])

    assert held == {}
    assert world.keys.calls == [7, 7]


async def test_a_key_whose_epoch_leaves_the_list_is_dropped(world: World) -> None:
    """Destroyed means that no running service opens it any more."""
    await world.keyring.keys([world.epoch.public.number])
    del world.keys.epochs[7]

    await world.keyring.watch()

    assert world.keyring._keys == {}


async def test_address_boxes_stay_until_their_hashes_are_there(world: World) -> None:
    """Kept for a record that has no hash and wants one; for nobody else."""
    edge = await world.add_edge()
    stream = edge.begin()
    kept = stream.add(world.epoch, [a_record(1, visitor=None)], addresses={0: "192.0.2.1"})
    stream.add(world.epoch, [a_record(2)], addresses={0: "192.0.2.1"})
    stream.add(world.epoch, [a_record(3, visitor=None, opt_out=True)], addresses={0: "192.0.2.1"})

    await world.puller(edge).pull()

    rows = await world.readers.rows("SELECT batch, addresses FROM address_box")
    assert [tuple(row) for row in rows] == [(kept.header.batch, kept.addresses)]


async def test_only_so_many_records_are_opened_in_one_transaction(world: World) -> None:
    """One batch at least, or a large one would wait for ever."""
    stream = (await world.add_edge()).begin()
    batches = [stream.add(world.epoch, [a_record(number) for number in range(3)]) for _ in range(4)]

    assert first_of(batches, 1) == batches[:1]
    assert first_of(batches, 8) == batches[:2]
    assert first_of(batches, 100) == batches
