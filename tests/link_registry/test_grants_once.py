"""A grant that is asked for again because the answer was lost."""

from pathlib import Path
from typing import Any

import pytest

from link_registry.once.store import KEEP_MS
from milepost.vocabulary import Millis
from tests.link_registry.grants_world import listed, wish
from tests.link_registry.registry_world import (
    GRANTER,
    LENDER,
    OPERATOR,
    Registry,
    running_registry,
)


async def _asked(
    registry: Registry, key: str, *, token: str = GRANTER, **fields: Any
) -> tuple[int, Any]:
    headers = {"Idempotency_Key": key} if key else {}
    answer = await registry.call("POST", "/v1/grants", wish(**fields), token=token, **headers)
    return answer.status, await answer.json()


async def test_a_key_makes_one_grant(tmp_path: Path) -> None:
    """Also when the registry has been started again between the two; without one there are two."""
    async with running_registry(tmp_path) as registry:
        first = await _asked(registry, "one")
    async with running_registry(tmp_path) as registry:
        again = await _asked(registry, "one")
        other = await _asked(registry, "two")
        clash = await _asked(registry, "one", minutes=6)
        for _ in range(2):
            assert (await _asked(registry, ""))[0] == 201
        there = await listed(registry)

    assert first == again
    assert first[0] == other[0] == 201
    assert first[1]["grant"]["id"] != other[1]["grant"]["id"]
    assert clash[0] == 409
    assert clash[1]["detail"].startswith("Idempotency-Key:")
    assert len(there) == 4


async def test_a_repeat_of_an_exclusive_one_is_no_conflict(registry: Registry) -> None:
    """Whoever lost the answer gets it, and whoever else asks is refused."""
    first = await _asked(registry, "k", exclusive=True)
    again = await _asked(registry, "k", exclusive=True)
    other = await _asked(registry, "l", exclusive=True)

    assert (first[0], again[0], other[0]) == (201, 201, 409)
    assert first == again


async def test_what_was_refused_is_not_remembered(registry: Registry) -> None:
    """The call may come again under its key when what was in the way has gone."""
    await registry.create("/lab")
    refused = await _asked(registry, "k", slug="lab")
    where = (await (await registry.call("GET", "/v1/links")).json())["links"][0]["id"]
    await registry.call("DELETE", f"/v1/links/{where}")
    made = await _asked(registry, "k", slug="lab")

    assert (refused[0], made[0]) == (409, 201)


async def test_a_key_is_of_one_token_and_one_call(registry: Registry) -> None:
    """Others may choose the same, and so may a bulk call."""
    items = {"items": [{"action": "create", "link": {"destination": "https://a.example/"}}]}
    bulk = await registry.call("POST", "/v1/links/bulk", items, token=OPERATOR, Idempotency_Key="k")
    made = [await _asked(registry, "k", token=token) for token in (GRANTER, LENDER, OPERATOR)]

    assert bulk.status == 200
    assert [status for status, _ in made] == [201] * 3
    assert len(await listed(registry)) == 3


async def test_a_key_of_a_grant_is_forgotten_after_a_day(registry: Registry) -> None:
    """Then it makes another."""
    await _asked(registry, "k", minutes=2_000)
    registry.clock.at = Millis(registry.clock.at + KEEP_MS + 1)
    await _asked(registry, "k", minutes=2_000)

    assert len(await listed(registry)) == 2


async def test_so_many_keys_of_grants_are_remembered(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes first, and those of other calls stay."""
    monkeypatch.setattr("link_registry.grants.handlers.KEPT_MAX", 3)
    items = {"items": [{"link": {"path": "/b", "destination": "https://a.example/"}}]}
    await registry.call("POST", "/v1/links/bulk", items, Idempotency_Key="bulk")
    for n in range(5):
        await _asked(registry, f"k{n}")
    rows = await registry.store.readers.rows("SELECT key FROM call ORDER BY number")

    assert [key for (key,) in rows] == ["bulk", "k2", "k3", "k4"]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201])
async def test_a_key_that_is_none_is_refused(registry: Registry, key: str) -> None:
    """By the name of its header."""
    answer = await registry.call("POST", "/v1/grants", wish(), token=GRANTER, Idempotency_Key=key)

    assert answer.status == 400
    assert (await answer.json())["field"] == "Idempotency-Key"
