"""Destruction as the key server does it: on schedule, by hand, and so that no byte is left."""

import asyncio
from typing import Any

import orjson
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from key_server.api import KeyServer
from key_server.destruction.rules import Order
from key_server.store import KeyStore
from key_server.wrapping import NONCE_BYTES, Purpose
from milepost import sqlite
from milepost.epochs import verify_list
from milepost.errors import ConflictError, UnavailableError
from milepost.receipts import Receipt, What, verify_receipt
from milepost.vocabulary import Epoch
from tests.key_server.destruction_world import (
    RECORD_DUE_MS,
    SALT_DUE_MS,
    TO_MIDNIGHT_MS,
    Aggregator,
    columns_of,
    in_files,
    tombstone,
)
from tests.key_server.key_world import DAY_MS, LIMITS, START, Connect, World, showing

RECORD = Order(Epoch(1), What.RECORD)


async def receipts(server: KeyServer) -> list[Receipt]:
    """Return every receipt, checked."""
    rows = await server.destroyer.receipts(0, 1_000)
    return [verify_receipt(orjson.loads(text), server.issuer.identity) for _, text in rows]


async def test_the_salt_goes_with_its_grace_and_no_file_holds_it(world: World) -> None:
    """Neither the database nor its WAL, and neither wrapped nor bare."""
    async with world.open() as server:
        before = columns_of(world, 1, "salt", "address_secret")
        kept = columns_of(world, 1, "record_secret")[0]
        salt = world.vault.unwrap(Purpose.SALT, 1, before[0])
        world.clock.move(SALT_DUE_MS - 1)
        await server.destroyer.look()
        assert tombstone(world) == (None, None)
        assert all(in_files(world, each) for each in before)

        world.clock.move(1)
        await server.destroyer.look()

        assert tombstone(world) == (START + SALT_DUE_MS, None)
        for each in before:
            assert not in_files(world, each)
            assert not in_files(world, each[:NONCE_BYTES])
            assert not in_files(world, each[-16:])
        assert not in_files(world, salt)
        assert in_files(world, kept)


async def test_many_epochs_leave_no_byte(world: World) -> None:
    """Also when rows were moved by rotations and pages by growth; what stays is whole."""
    async with world.open() as server:
        for _ in range(40):
            world.clock.move(DAY_MS // 3)
            await server.issuer.look()
            await server.issuer.rotate("me")
        world.clock.move(LIMITS.grace_ms)
        numbers = [held.public.number for held in server.issuer.held]
        before = {n: columns_of(world, n, "salt", "address_secret") for n in numbers}
        records = {n: columns_of(world, n, "record_secret")[0] for n in numbers}
        await server.destroyer.look()

        gone = [number for number in numbers if tombstone(world, number)[0]]
        assert len(gone) >= 40
        content = b"".join(path.read_bytes() for path in world.folder.iterdir())
        for number in numbers:
            assert [each in content for each in before[number]] == [number not in gone] * 2
            assert records[number] in content


async def test_a_process_that_died_before_the_wal_was_empty_empties_it_at_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed is destroyed; the bytes follow."""

    async def die(self: Any) -> bool:
        raise UnavailableError

    async with world.open() as server:
        before = columns_of(world, 1, "salt")[0]
        world.clock.move(SALT_DUE_MS)
        with monkeypatch.context() as patched:
            patched.setattr("key_server.destruction.store.DestructionStore.truncate", die)
            with pytest.raises(UnavailableError):
                await server.destroyer.look()
        assert tombstone(world)[0]
        assert in_files(world, before)
        assert not server.destroyer.emptied

        async with world.open():
            assert not in_files(world, before)


async def test_a_reader_in_the_way_only_delays(world: World) -> None:
    """The look after it empties the WAL."""
    async with world.open() as server:
        before = columns_of(world, 1, "salt")[0]
        reader = sqlite.connect_read_only(world.database)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM epoch").fetchone()
        server.store.writer._connection.execute("PRAGMA busy_timeout=10")
        world.clock.move(SALT_DUE_MS)
        await server.destroyer.look()
        assert not server.destroyer.emptied
        reader.close()
        await server.destroyer.look()

        assert server.destroyer.emptied
        assert not in_files(world, before)


async def test_record_keys_stay_without_an_aggregator(world: World) -> None:
    """Nobody can say what needs them; after a week that is an alarm, and salts go all the same."""
    async with world.open() as server:
        world.clock.move(RECORD_DUE_MS)
        with capture_logs() as logs:
            await server.destroyer.look()

        assert tombstone(world) == (START + RECORD_DUE_MS, None)
        assert "no aggregator" in next(
            log["reason"] for log in logs if log["event"] == "secret.waits"
        )
        assert not server.destroyer.alarms
        world.clock.move(7 * DAY_MS + 1)
        await server.destroyer.look()
        assert [each.order for each in server.destroyer.alarms] == [RECORD]


async def test_a_drained_record_key_goes_and_leaves_the_list(
    world: World, aggregator: Aggregator
) -> None:
    """Whoever waits for news hears at once."""
    async with world.open() as server:
        shown = server.issuer.board.shown
        before = columns_of(world, 1, "record_secret")[0]
        world.clock.move(RECORD_DUE_MS)
        waiting = asyncio.create_task(server.issuer.board.wait_for_other({shown.etag}, 5))
        await asyncio.sleep(0)
        await server.destroyer.look()
        news = await waiting
        listed = verify_list(orjson.loads(news.document), server.issuer.identity)

        assert tombstone(world) == (START + RECORD_DUE_MS, START + RECORD_DUE_MS)
        assert 1 not in [epoch.number for epoch in listed.epochs]
        assert listed.version > shown.version
        assert not in_files(world, before)
    assert aggregator.asked[0] == {
        "epoch": "1",
        "end_ms": str(START + TO_MIDNIGHT_MS),
        "grace_ms": str(LIMITS.grace_ms),
    }


async def test_an_undrained_record_key_waits_and_says_for_what(
    world: World, aggregator: Aggregator, aiohttp_client: Connect
) -> None:
    """After a week in the log, in the metrics and beside the readiness, which stays."""
    aggregator.drained, aggregator.clicks = False, 12
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        world.clock.move(RECORD_DUE_MS)
        await server.issuer.look()
        await server.destroyer.look()
        assert tombstone(world)[1] is None
        assert (
            REGISTRY.get_sample_value("milepost_keys_destructions_waiting", {"what": "record"}) == 1
        )
        world.clock.move(7 * DAY_MS + 1)
        await server.issuer.look()
        with capture_logs() as logs:
            await server.destroyer.look()
            await server.destroyer.look()
        async with client.get("/readyz") as response:
            ready = orjson.loads(await response.read())
        aggregator.drained = True
        await server.destroyer.look()

        assert tombstone(world)[1] is not None
    errors = [log for log in logs if log["log_level"] == "error"]
    assert [(log["epoch"], log["streams"]) for log in errors] == [(1, ("ab" * 16,))]
    assert ready["ready"]
    assert "ab" * 16 in ready["notes"]["destruction"]
    overdue = REGISTRY.get_sample_value("milepost_keys_destruction_overdue_seconds")
    assert overdue is not None


async def test_a_receipt_names_what_went_and_until_when_copies_live(
    world: World, aggregator: Aggregator
) -> None:
    """One for each destruction, signed, and none twice however often one looks."""
    async with world.open() as server:
        key = server.issuer.held[0].public.key_id
        world.clock.move(RECORD_DUE_MS)
        for _ in range(3):
            await server.destroyer.look()
        found = [each for each in await receipts(server) if each.epoch == 1]

    assert [(each.what, each.key) for each in found] == [(What.SALT, key), (What.RECORD, key)]
    assert {each.at_ms for each in found} == {START + RECORD_DUE_MS}
    assert {each.no_copy_after_ms - each.at_ms for each in found} == {LIMITS.backup_ms}
    assert len({each.wrapped_hash for each in found}) == 2


async def test_a_rotation_and_a_destruction_wait_for_each_other(world: World) -> None:
    """Whatever comes first, both are whole afterwards."""
    async with world.open() as server:
        world.clock.move(SALT_DUE_MS + 1)
        await asyncio.gather(
            server.destroyer.look(), server.issuer.rotate("me"), server.issuer.look()
        )
        held = {each.public.number: each for each in server.issuer.held}

        assert held[Epoch(1)].salt_gone_ms == START + SALT_DUE_MS + 1
        assert server.issuer.board.shown.version > START


async def test_what_is_not_read_back_after_a_destruction_is_read_soon(
    world: World, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the list would name a destroyed key until the next epoch is due."""

    async def fail(*_: object) -> None:
        msg = "no more files"
        raise UnavailableError(msg)

    async with world.open() as server:
        world.clock.move(RECORD_DUE_MS)
        await server.issuer.look()
        with monkeypatch.context() as patch:
            patch.setattr(KeyStore, "newest", fail)
            with pytest.raises(UnavailableError):
                await server.destroyer.look()
        assert tombstone(world)[1] is not None
        await server.issuer.look()

        listed = verify_list(
            orjson.loads(server.issuer.board.shown.document), server.issuer.identity
        )
        assert Epoch(1) not in {each.number for each in listed.epochs}


async def test_a_rotation_that_went_through_is_published_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that happened although it was reported as failed is found on disk."""
    rotate = KeyStore.rotate

    async def rotate_and_fail(self: KeyStore, *told: Any) -> None:
        await rotate(self, *told)
        msg = "who knows"
        raise UnavailableError(msg)

    async with world.open() as server:
        monkeypatch.setattr(KeyStore, "rotate", rotate_and_fail)
        with pytest.raises(UnavailableError):
            await server.issuer.rotate("me")
        await server.issuer.look()

        assert server.issuer.spans[0].end_ms == START


async def test_a_failed_destruction_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All or nothing: without a receipt there is no tombstone."""
    async with world.open() as server:
        world.clock.move(SALT_DUE_MS)

        def refuse(receipt: Any) -> str:
            msg = "no signature"
            raise ConflictError(msg)

        monkeypatch.setattr(server.issuer, "sign_receipt", refuse)
        with pytest.raises(ConflictError):
            await server.destroyer.look()

        assert tombstone(world) == (None, None)
        assert await receipts(server) == []


@pytest.mark.parametrize("what", ["record", "salt"])
async def test_a_destruction_overtakes_who_asks_for_the_secret(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What went while the call was being noted is not given behind its receipt."""
    note = KeyStore.note
    order = Order(Epoch(1), What(what))

    async def note_then_destroy(store: KeyStore, *rest: Any) -> None:
        await note(store, *rest)
        world.clock.move(TO_MIDNIGHT_MS)
        await server.destroyer.by_hand(order, 0, "me")

    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        secret, token, path = ("record_secret", "open", "/v1/epochs/1/record-key")
        if what == "salt":
            secret, token, path = ("salt", "edge", "/v1/salts")
        wrapped = columns_of(world, 1, secret)[0]
        bare = world.vault.unwrap(Purpose(what), 1, wrapped).hex()
        monkeypatch.setattr(KeyStore, "note", note_then_destroy)
        async with client.get(path, headers=showing(token)) as response:
            told = await response.text()

    assert tombstone(world)[0 if what == "salt" else 1]
    assert bare not in told
