"""Grants whose clean-up can never succeed, and that somebody has given up."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from link_registry.grants.ending import Ender
from link_registry.grants.store import GrantStore
from link_registry.pruner import DAY_MS, Pruner
from tests.link_registry.grants_world import (
    FakeBackend,
    HastyClock,
    advance,
    broken,
    granted,
    jobs,
    listed,
    ok,
    until_none,
)
from tests.link_registry.registry_world import (
    EDITOR,
    GRANTER,
    LENDER,
    READER,
    Registry,
)


async def _do(
    registry: Registry, what: str, grant: dict[str, Any], token: str = GRANTER
) -> tuple[int, Any]:
    path = f"/v1/grants/{grant['id']}/{what}"
    answer = await registry.call("POST", path, token=token)
    return answer.status, await answer.json()


async def _ended(registry: Registry, **fields: Any) -> dict[str, Any]:
    """Make a grant, and end it; nobody has cleaned up yet."""
    grant = await granted(registry, **{"cleanup_ids": ["a", "b"]} | fields)
    assert (await _do(registry, "end", grant))[0] == 200
    return grant


def _counted() -> float:
    return REGISTRY.get_sample_value("milepost_registry_cleanups_abandoned_total") or 0.0


def _gauge(state: str) -> float | None:
    return REGISTRY.get_sample_value("milepost_registry_grants", {"state": state})


async def _until_tried(registry: Registry) -> None:
    """Return once one id of the grant is done, and a run of the other has failed."""
    async with asyncio.timeout(20):
        while True:
            [grant] = await listed(registry)
            if grant["failed"] and grant["cleaned"]:
                return
            await asyncio.sleep(0.01)


async def test_a_grant_that_cannot_be_cleaned_up_is_let_go(registry: Registry) -> None:
    """Who did that and when is kept, and what was not deleted; nobody is called any more."""
    backend, counted = FakeBackend(), _counted()
    backend.answer_of = lambda name: broken if name == "b" else ok
    grant = await _ended(registry)
    async with backend.running() as url, jobs(registry, url):
        await _until_tried(registry)
        status, told = await _do(registry, "abandon", grant, LENDER)
        reached = backend.reached.total()
        advance(registry, 5)
        other = await granted(registry, "bob", cleanup_ids=["c"])
        await _do(registry, "end", other)
        await until_none(registry)
    found = (await listed(registry, "?state=abandoned"))[0]

    assert status == 200
    assert found == told["grant"]
    assert (found["state"], found["abandoned_by"], found["abandoned_ms"]) == (
        *("abandoned", "lender", 1_000),
    )
    assert found["cleaned"] == ["a"]
    assert found["failed"] == [{"id": "b", "failures": 1, "reason": "status 500"}]
    assert backend.reached.total() == reached + 1  # that is the other's
    assert _counted() == counted + 1


async def test_what_was_never_tried_counts_as_failed(registry: Registry) -> None:
    """As with a registry that has no backend any more."""
    counted, grant = _counted(), await _ended(registry)
    _status, told = await _do(registry, "abandon", grant)

    assert [each["id"] for each in told["grant"]["failed"]] == ["a", "b"]
    assert _counted() == counted + 2


async def test_it_is_abandoned_once(registry: Registry) -> None:
    """By who came first; ending it again changes nothing, and it cannot be put off."""
    counted, grant = _counted(), await _ended(registry)
    first = await _do(registry, "abandon", grant)
    advance(registry, 1)
    again = await _do(registry, "abandon", grant, LENDER)
    ended = await _do(registry, "end", grant)
    path = f"/v1/grants/{grant['id']}/extend"
    extended = await registry.call("POST", path, {"minutes": 1}, token=GRANTER)

    assert first == again == ended
    assert extended.status == 409
    assert _counted() == counted + 2


async def test_only_one_that_has_ended_is_abandoned(registry: Registry) -> None:
    """It still has its link; and one that is cleaned up has gone."""
    grant = await granted(registry, cleanup_ids=["a"])
    active = await _do(registry, "abandon", grant)
    clean = await granted(registry, "bob")
    await _do(registry, "end", clean)
    gone = await _do(registry, "abandon", clean)

    assert (active[0], gone[0]) == (409, 404)
    assert "end it first" in active[1]["detail"]


@pytest.mark.parametrize("token", [READER, EDITOR])
async def test_who_may_not_make_grants_abandons_none(registry: Registry, token: str) -> None:
    """It is the same scope."""
    grant = await _ended(registry)

    assert (await _do(registry, "abandon", grant, token))[0] == 403


async def test_it_is_in_nobodys_way(registry: Registry) -> None:
    """Its owner, its path and its link are free, and it is in no list but its own."""
    link = await registry.create("/lab")
    lent = await granted(registry, link=link["id"], destination=None, exclusive=True, token=LENDER,
                         cleanup_ids=["a"])  # fmt: skip
    await _do(registry, "end", lent)
    await _do(registry, "abandon", lent)
    again = await granted(registry, link=link["id"], destination=None, exclusive=True, token=LENDER)

    assert [each["id"] for each in await listed(registry)] == [again["id"]]
    assert [each["id"] for each in await listed(registry, "?state=abandoned")] == [lent["id"]]
    assert await listed(registry, "?state=cleaning") == []


async def test_the_metrics_tell_how_many_there_are(registry: Registry) -> None:
    """None is waited for; they are counted by themselves."""
    store = GrantStore(registry.store)
    grant = await _ended(registry)
    await Ender(store, registry.clock).step()
    before = (_gauge("cleaning"), _gauge("abandoned"))
    await _do(registry, "abandon", grant)
    await Ender(store, registry.clock).step()

    assert before == (1.0, 0.0)
    assert (_gauge("cleaning"), _gauge("abandoned")) == (0.0, 1.0)
    assert REGISTRY.get_sample_value("milepost_registry_cleanups_waiting") == 0.0


async def test_it_is_forgotten_with_the_history_of_its_time(registry: Registry) -> None:
    """One that is abandoned later stays, and so does one that is waited for."""
    old, young, waiting = [await _ended(registry, owner=name) for name in ("ada", "bob", "cy")]
    await _do(registry, "abandon", old)
    advance(registry, 2)
    await _do(registry, "abandon", young)
    advance(registry, DAY_MS / 60_000 - 1)
    await Pruner(registry.store, HastyClock(registry), 1).step()

    assert [each["id"] for each in await listed(registry, "?state=abandoned")] == [young["id"]]
    assert [each["id"] for each in await listed(registry)] == [waiting["id"]]
    assert (await _do(registry, "abandon", old))[0] == 404
