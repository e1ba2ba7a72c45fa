"""The audit trail: everything is in it, and nothing can be taken out of it unseen."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from key_server.store import KeyStore
from milepost import sqlite
from milepost.audit import AuditRow, audit_row_from, verify_trail
from milepost.errors import RejectedError, UnavailableError
from milepost.vocabulary import Epoch
from tests.key_server.key_world import START, Connect, World, call, showing


async def fail(*_: Any) -> None:
    """Be a disk that takes nothing."""
    raise UnavailableError


async def rows_of(store: KeyStore) -> tuple[AuditRow, ...]:
    """Return the whole trail."""
    return await store.notes(0, 1_000)


async def test_each_call_is_in_the_trail(world: World, aiohttp_client: Connect) -> None:
    """Who, what and for which epoch; what gives out no secret is summed up."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        await call(client, "edge", "/v1/salts")
        await call(client, "open", "/v1/epochs/1/record-key")
        for _ in range(3):
            await call(client, "edge", "/v1/epochs")
        answer: dict[str, Any] = await call(client, "keys", "/v1/audit")

    rows = [(row["who"], row["what"], row["epoch"], row["count"]) for row in answer["rows"]]
    assert rows == [
        ("edge", "salts", 1, 1),
        ("open", "record-key", 1, 1),
        ("edge", "list", 0, 3),
    ]
    assert verify_trail(map(audit_row_from, answer["rows"])) == bytes.fromhex(
        answer["rows"][-1]["chain"]
    )


async def test_a_secret_is_not_given_when_that_cannot_be_noted(
    world: World, aiohttp_client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without a row would be one that nobody can show."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        monkeypatch.setattr(KeyStore, "note", fail)
        async with client.get("/v1/epochs/1/record-key", headers=showing("open")) as response:
            assert response.status == 503
            assert "record_key" not in await response.text()


async def test_the_table_only_grows(world: World) -> None:
    """Not even the service itself can change or delete a row."""
    async with world.open() as server:
        await server.trail.note("edge", "salts", Epoch(1))
        for statement in ("UPDATE audit SET who = 'nobody'", "DELETE FROM audit"):
            with pytest.raises(sqlite.IntegrityError, match="only grows"):
                await server.store._writer.transact(partial(executed, statement))


def executed(statement: str, db: sqlite.Connection) -> None:
    """Run one statement."""
    db.execute(statement)


@pytest.mark.parametrize("fault", ["changed", "left out", "put in", "exchanged"])
async def test_whatever_is_done_to_the_rows_is_seen(world: World, fault: str) -> None:
    """By the row that no longer fits."""
    async with world.open() as server:
        for number in range(4):
            await server.trail.note("edge", "salts", Epoch(number))
        rows = list(await rows_of(server.store))
    assert verify_trail(rows) == rows[-1].chain
    match fault:
        case "changed":
            rows[1] = replace(rows[1], who="somebody")
        case "left out":
            del rows[1]
        case "put in":
            rows.insert(1, replace(rows[1], number=2))
        case _:
            rows[1], rows[2] = rows[2], rows[1]

    with pytest.raises(RejectedError, match=r"row [23]"):
        verify_trail(rows)


async def test_sums_survive_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is written another time."""
    async with world.open() as server:
        server.trail.add_up("edge", "list")
        with monkeypatch.context() as patch:
            patch.setattr(KeyStore, "note", fail)
            with pytest.raises(UnavailableError):
                await server.trail.write_sums()
        server.trail.add_up("edge", "list")
        await server.trail.write_sums()
        rows = await rows_of(server.store)

    assert [(row.what, row.count, row.at_ms) for row in rows] == [("list", 2, START)]


async def test_a_rotation_by_hand_is_noted_with_what_it_changed(
    world: World, aiohttp_client: Connect
) -> None:
    """In the same transaction, and the next epoch begins at that moment."""
    async with world.open() as server:
        client = await world.connect(aiohttp_client, server)
        before = server.issuer.spans
        world.clock.move(1_000)
        async with client.post("/v1/rotate", headers=showing("rotate"), json={}) as response:
            told = await response.json()
            assert response.status == 200
        async with client.post("/v1/rotate", headers=showing("rotate"), json={}) as response:
            again = await response.json()
        spans = server.issuer.spans
        rows = await rows_of(server.store)

    assert told["epoch"] == 2
    assert told["start_ms"] == START + 1_000
    assert told["end_ms"] == before[0].end_ms
    assert again["status"] == 409
    assert len(spans) == len(before) + 1
    assert [span.end_ms for span in spans][1:] == [span.end_ms for span in before]
    assert [(row.who, row.what, row.epoch) for row in rows] == [("rotate", "rotate", 1)]
