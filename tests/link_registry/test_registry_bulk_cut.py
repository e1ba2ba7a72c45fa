"""Bulk calls in the middle of which something happens."""

import asyncio
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from link_registry.bulk.items import ITEMS_A_PART
from milepost import sqlite
from milepost.database import Writer
from milepost.errors import UnavailableError
from milepost.tokens import OPERATOR_SCOPES, tokens_document
from tests.edge.links_fleet import registry_of
from tests.link_registry.registry_world import (
    DESTINATION,
    EDITOR,
    Registry,
    bearer,
    until,
)
from tests.log.kit import OPERATOR_TOKEN, Service, free_port

BULK = "/v1/links/bulk"
ITEMS = 20 * ITEMS_A_PART
KEY = {"Idempotency-Key": "one"}


def _body(count: int, **fields: Any) -> bytes:
    items = [
        {"action": "create", "link": {"path": f"/{n}", "destination": DESTINATION}}
        for n in range(count)
    ]
    return orjson.dumps({"items": items} | fields)


async def _bulk(registry: Registry, body: bytes, *, status: int = 200) -> dict[str, Any]:
    headers = bearer(EDITOR) | KEY | {"Content-Type": "application/json"}
    answer = await registry.client.post(BULK, data=body, headers=headers)
    told: dict[str, Any] = await answer.json()
    assert answer.status == status, told
    return told


async def _parts(registry: Registry) -> list[int]:
    rows = await registry.store.readers.rows("SELECT upto FROM call_part ORDER BY upto")
    return [upto for (upto,) in rows]


def _created(told: dict[str, Any]) -> bool:
    """Tell whether every item was created, each under an id of its own."""
    results = told["results"]
    return {each["status"] for each in results} == {"created"} and len(
        {each["id"] for each in results}
    ) == len(results)


async def test_a_call_is_done_in_parts(registry: Registry) -> None:
    """Each is a transaction; the answer is the same as if there were no parts, then and later."""
    count = 2 * ITEMS_A_PART + 1
    told = await _bulk(registry, _body(count))
    again = await _bulk(registry, _body(count))

    assert await _parts(registry) == [ITEMS_A_PART, 2 * ITEMS_A_PART, count]
    assert _created(told)
    assert len(told["results"]) == await registry.store.count() == count
    assert again == told


async def test_an_atomic_call_has_one_part(registry: Registry) -> None:
    """Nobody sees half of it."""
    count = ITEMS_A_PART + 1
    told = await _bulk(registry, _body(count, mode="atomic"))

    assert await _parts(registry) == [count]
    assert len(told["results"]) == count


async def test_a_single_change_comes_between_the_parts(registry: Registry) -> None:
    """It is not behind all of the call in the feed."""
    begun = registry.news.next()
    loading = asyncio.create_task(_bulk(registry, _body(ITEMS)))
    await begun.wait()
    await registry.create("/single")
    await loading
    [(position,)] = await registry.store.readers.rows(
        "SELECT position FROM change WHERE rule LIKE '%/single%'"
    )

    assert position <= ITEMS


async def test_a_call_that_is_made_twice_at_a_time_happens_once(registry: Registry) -> None:
    """Each part is done by whoever comes first, and both are told of all of them."""
    first, second = await asyncio.gather(*(_bulk(registry, _body(ITEMS)) for _ in range(2)))

    assert first == second
    assert _created(first)
    assert await registry.store.position() == ITEMS


@pytest.mark.parametrize("happened", [False, True])
async def test_a_part_that_fails_is_done_when_the_call_is_made_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, *, happened: bool
) -> None:
    """Whether its commit had happened or not; the parts before it stay."""
    run, left = Writer._run, [3]

    def failing(self: Writer, work: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and happened:
            run(self, work)
        if left[0] == 0:
            monkeypatch.undo()
            raise UnavailableError
        return run(self, work)

    monkeypatch.setattr(Writer, "_run", failing)
    await _bulk(registry, _body(ITEMS), status=503)
    position = await registry.store.position()
    told = await _bulk(registry, _body(ITEMS))

    assert position == (3 if happened else 2) * ITEMS_A_PART
    assert _created(told)
    assert await registry.store.position() == ITEMS
    assert len(await _parts(registry)) == ITEMS // ITEMS_A_PART


@contextlib.contextmanager
def _process(folder: Path, port: int) -> Iterator[Service]:
    (folder / "tokens.json").write_bytes(
        tokens_document([("operator", OPERATOR_SCOPES, OPERATOR_TOKEN)])
    )
    with registry_of(folder, port) as service:
        yield service


def _done(database: Path) -> int:
    """Return how many changes there are on disk."""
    db = sqlite.connect_read_only(database)
    with contextlib.closing(db):
        return int(db.execute("SELECT count(*) FROM change").fetchone()[0])


def _has(database: Path, changes: int) -> bool:
    return _done(database) >= changes


@pytest.mark.slow
async def test_a_call_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Kill -9 between two of its parts, several times: each item has its result and one link."""
    port, body = free_port(), _body(10_000)
    url = f"http://127.0.0.1:{port}{BULK}"
    headers = bearer(OPERATOR_TOKEN) | KEY
    database = tmp_path / "registry" / "links.db"
    kills = 0
    with _process(tmp_path, port) as service:
        async with aiohttp.ClientSession() as session:
            for part in (1, 7, 20):
                calling = asyncio.create_task(session.post(url, data=body, headers=headers))
                await until(functools.partial(_has, database, part * ITEMS_A_PART))
                service.kill()
                with contextlib.suppress(aiohttp.ClientError):
                    (await calling).release()
                done = _done(database)
                assert done % ITEMS_A_PART == 0
                kills += done < 10_000
                service.start()
                service.wait_live()
            async with session.post(url, data=body, headers=headers) as answer:
                told = await answer.json()

    assert kills > 0
    assert _created(told)
    assert len(told["results"]) == _done(database) == 10_000
