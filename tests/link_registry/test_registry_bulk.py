"""Many links in one call."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from link_registry.bulk.handlers import KEPT_MAX
from link_registry.bulk.items import ITEMS_MAX
from link_registry.once.store import KEEP_MS
from link_registry.own_hosts import OwnHosts
from link_registry.policy import Policy
from link_registry.slugs import LENGTH_MIN
from milepost.links import WEB_SCHEMES
from milepost.vocabulary import Millis, Position
from tests.link_registry.registry_world import (
    DESTINATION,
    EDITOR,
    READER,
    Registry,
    bearer,
    running_registry,
)

BULK = "/v1/links/bulk"


def a_link(path: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of a link."""
    return {"path": path, "destination": DESTINATION} | fields


async def _bulk(
    registry: Registry, items: Any, *, key: str = "", status: int = 200, **fields: Any
) -> dict[str, Any]:
    headers = bearer(EDITOR) | ({"Idempotency-Key": key} if key else {})
    body = {"items": items} | fields
    answer = await registry.client.post(BULK, json=body, headers=headers)
    told: dict[str, Any] = await answer.json()
    assert answer.status == status, told
    return told


def _statuses(told: dict[str, Any]) -> list[str]:
    return [result["status"] for result in told["results"]]


async def test_each_item_has_its_result(registry: Registry) -> None:
    """In the order of the items, with what it is called now."""
    first, second = await registry.create("/1"), await registry.create("/2")
    told = await _bulk(
        registry,
        [
            {"action": "create", "link": a_link("/new")},
            {"action": "update", "id": first["id"], "link": {"status": 301}},
            {"action": "update", "link": {"path": "/1", "status": 301}},
            {"action": "delete", "id": second["id"]},
            {"action": "create", "link": a_link("/2")},
            {"link": a_link("/1", enabled=False)},
            {"action": "upsert", "link": a_link("/other")},
        ],
    )

    assert told["applied"] is True
    assert _statuses(told) == [
        *("created", "updated", "unchanged", "deleted", "created", "updated", "created"),
    ]
    assert told["results"][1] == {"status": "updated", "id": first["id"], "version": 2}
    assert await registry.store.count() == 4
    assert await registry.store.position() == 2 + 6


async def test_what_is_wrong_is_refused_alone(registry: Registry) -> None:
    """Best effort, which is the default: the others happen."""
    items = [
        {"link": a_link("/a")},
        {"action": "create", "link": a_link("/a")},
        {"link": a_link("/b", status=200)},
        {"action": "update", "id": "none", "link": {}},
        {"action": "delete", "link": {"path": "/none"}},
        {"action": "delete"},
        {"action": "delete", "id": 7},
        {"action": "rename", "link": {}},
        {"link": a_link("/c"), "colour": "red"},
        {"action": "upsert", "id": "none", "link": a_link("/d")},
        "text",
        {"link": []},
        {"link": a_link("/z")},
    ]
    told = await _bulk(registry, items)
    details = [result.get("detail", "") for result in told["results"]]

    assert _statuses(told) == ["created", *["failed"] * 11, "created"]
    assert [result.get("code") for result in told["results"][1:5]] == [
        *("conflict", "rejected", "not_found", "not_found"),
    ]
    assert details[2].startswith("status:")
    assert await registry.store.count() == 2


async def test_atomic_is_all_or_nothing(registry: Registry) -> None:
    """The problem names the first that failed, and has every result."""
    items = [{"link": a_link("/a")}, {"link": a_link("/b", status=200)}]
    told = await _bulk(registry, items, mode="atomic", status=409)

    assert told["detail"].startswith("items[1]: status:")
    assert told["applied"] is False
    assert _statuses(told) == ["created", "failed"]
    assert await registry.store.position() == 0
    assert _statuses(await _bulk(registry, items[:1], mode="atomic")) == ["created"]


async def test_a_dry_run_changes_nothing(registry: Registry) -> None:
    """And is not remembered: the call that follows it under its key happens."""
    items = [{"link": a_link("/a")}, {"link": a_link("/b", status=200)}]
    told = await _bulk(registry, items, dry_run=True, key="k")

    assert told["applied"] is False
    assert _statuses(told) == ["created", "failed"]
    assert await registry.store.position() == 0
    assert (await _bulk(registry, items, key="k"))["applied"] is True


async def test_a_key_makes_a_call_happen_once(tmp_path: Path) -> None:
    """Also when the registry has been started again between the two."""
    items = [{"action": "create", "link": a_link("/a")}]
    async with running_registry(tmp_path) as registry:
        first = await _bulk(registry, items, key="one")
    async with running_registry(tmp_path) as registry:
        again = await _bulk(registry, items, key="one")
        other = await _bulk(registry, items, key="two")
        clash = await _bulk(registry, [*items, *items], key="one", status=409)
        position = await registry.store.position()

    assert again == first
    assert _statuses(other) == ["failed"]
    assert clash["detail"].startswith("Idempotency-Key:")
    assert position == 1


async def test_a_key_is_forgotten_after_a_day(registry: Registry) -> None:
    """Then it is as good as new."""
    items = [{"action": "create", "link": a_link("/a")}]
    await _bulk(registry, items, key="one")
    registry.clock.at = Millis(registry.clock.at + KEEP_MS + 1)

    assert _statuses(await _bulk(registry, items, key="one")) == ["failed"]


@pytest.mark.slow
async def test_so_many_keys_are_remembered(registry: Registry) -> None:
    """And no more, whoever sends them."""
    for n in range(KEPT_MAX + 3):
        await _bulk(registry, [{"link": a_link("/a")}], key=f"k{n}")
    [(count,)] = await registry.store._readers.rows("SELECT count(*) FROM call")

    assert count == KEPT_MAX


async def test_bulk_is_no_id(registry: Registry) -> None:
    """The path of many links is that of no link, whatever the method."""
    answers = [await registry.call(method, BULK) for method in ("GET", "PATCH", "DELETE")]

    assert [answer.status for answer in answers] == [405] * 3
    assert {answer.headers["Allow"] for answer in answers} == {"POST"}


async def test_a_key_belongs_to_a_token(registry: Registry) -> None:
    """Two callers may choose the same."""
    await _bulk(registry, [{"link": a_link("/a")}], key="one")
    rows = await registry.store._readers.rows("SELECT who, key FROM call")

    assert rows == [("editor", "one")]


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ([], "the body", 400),
        ({}, "items", 400),
        ({"items": []}, "items", 400),
        ({"items": {}}, "items", 400),
        ({"items": [{}], "mode": "fast"}, "mode", 400),
        ({"items": [{}], "dry_run": 1}, "dry_run", 400),
        ({"items": [{}], "colour": 1}, "colour", 400),
        ({"items": [0] * (ITEMS_MAX + 1)}, "items", 413),
    ],
)
async def test_what_is_wrong_with_a_bulk_call_is_named(
    registry: Registry, body: Any, field: str, status: int
) -> None:
    """As with one link."""
    answer = await registry.call("POST", BULK, body)

    assert answer.status == status
    assert (await answer.json())["detail"].startswith(f"{field}:")


async def test_bodies_and_keys_are_bounded(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too long is refused, and what is no JSON too."""
    client = registry.client
    keys = [
        await client.post(BULK, json={}, headers=bearer(EDITOR) | {"Idempotency-Key": key})
        for key in ("", "a b", "x" * 201)
    ]
    no_json = await client.post(BULK, data=b"{", headers=bearer(EDITOR))
    monkeypatch.setattr("link_registry.bulk.handlers.BODY_BYTES_MAX", 1_000)
    large = await client.post(BULK, data=b" " * 1_001, headers=bearer(EDITOR))
    reader = await client.post(BULK, json={}, headers=bearer(READER))

    assert [answer.status for answer in keys] == [400] * 3
    assert (no_json.status, large.status, reader.status) == (400, 413, 403)


async def test_many_links_are_one_announcement(registry: Registry) -> None:
    """Edges are woken once by an atomic call, and each change has its place in the feed."""
    woken = registry.news.next()
    told = await _bulk(registry, [{"link": a_link(f"/{n}")} for n in range(500)], mode="atomic")
    changes = await registry.store.changes_after(Position(0), 1_000)

    assert woken.is_set()
    assert len(set(_statuses(told))) == 1
    assert [change.position for change in changes] == list(range(1, 501))
    assert orjson.loads(changes[7].rule)["path"] == "/7"


async def test_calls_at_the_same_time_are_bounded(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One too many is told to ask again, before its body is read."""
    monkeypatch.setattr("link_registry.bulk.handlers.CALLS_MAX", 0)
    await _bulk(registry, [{"link": a_link("/a")}], status=503)
    monkeypatch.undo()
    told = await asyncio.gather(*(_bulk(registry, [{"link": a_link(f"/{n}")}]) for n in range(3)))

    assert [_statuses(each) for each in told] == [["created"]] * 3


async def test_a_bulk_call_is_held_to_what_one_link_is(tmp_path: Path) -> None:
    """Schemes, own hosts and the hosts of links; each refusal names its field."""
    policy = Policy(schemes=WEB_SCHEMES | {"tel"}, own=OwnHosts(frozenset({"go.test"})))
    async with running_registry(tmp_path, policy=policy) as registry:
        await registry.create("/there", host="there.test")
        made = await registry.create("/made")
        rules = [{"destination": "https://go.test/b"}]
        told = await _bulk(
            registry,
            [
                {"link": a_link("/a", destination="other:x")},
                {"link": a_link("/b", destination="https://go.test/a")},
                {"link": a_link("/c", destination="https://there.test/a")},
                {"id": made["id"], "link": {"rules": rules}},
                {"link": a_link("/d", destination="tel:+491234")},
            ],
        )

    assert _statuses(told) == [*["failed"] * 4, "created"]
    fields = [result.get("field") for result in told["results"]]
    assert fields == [*["destination"] * 3, "rules[0].destination", None]


async def test_what_a_bulk_call_does_is_in_the_history_of_each_link(registry: Registry) -> None:
    """Also what no edge hears of: tags and notes."""
    made = await registry.create("/a")
    told = await _bulk(registry, [{"link": {"path": "/a", "tags": ["x"], "note": "n"}}])
    history = await (await registry.call("GET", f"/v1/links/{made['id']}/changes")).json()

    assert _statuses(told) == ["updated"]
    assert await registry.store.position() == 1
    assert [each["field"] for each in history["changes"][1]["fields"]] == ["tags", "note"]


async def test_a_path_is_drawn_for_what_is_created_without_one(registry: Registry) -> None:
    """As for a single link; the result tells it, and nobody else gets it."""
    item = {"action": "create", "link": {"destination": DESTINATION, "host": "go.test"}}
    told = await _bulk(registry, [item] * 20)
    paths = [result["path"] for result in told["results"]]
    first = await registry.call("GET", f"/v1/links/{told['results'][0]['id']}")
    wrong = await _bulk(registry, [{"action": "create", "link": {"destination": "x"}}])

    assert len(set(paths)) == 20
    assert all(len(path) == 1 + LENGTH_MIN for path in paths)
    assert (await first.json())["link"]["path"] == paths[0]
    assert wrong["results"][0]["field"] == "destination"


async def test_what_is_upserted_has_to_name_its_path(registry: Registry) -> None:
    """Otherwise an import that is made again would make all of it again."""
    told = await _bulk(registry, [{"link": {"destination": DESTINATION}}])

    assert told["results"][0]["field"] == "id"
    assert await registry.store.count() == 0


async def test_an_item_may_want_the_version_that_it_knows(registry: Registry) -> None:
    """If another is there, it is refused as a single change would be, and the others happen."""
    made = [await registry.create(f"/{n}") for n in range(4)]
    items = [
        {"action": "update", "id": made[0]["id"], "version": 1, "link": {"status": 301}},
        {"action": "update", "id": made[0]["id"], "version": 1, "link": {"status": 307}},
        {"action": "delete", "id": made[1]["id"], "version": 2},
        {"version": 7, "link": a_link("/2")},
        {"version": 1, "link": a_link("/3", note="x")},
        {"version": 1, "link": a_link("/none")},
        {"action": "create", "version": 1, "link": a_link("/new")},
        {"action": "update", "id": made[0]["id"], "version": True, "link": {}},
    ]
    told = await _bulk(registry, items)
    problems = [result.get("problem") for result in told["results"]]

    assert problems == [None, 412, 412, 412, None, 404, 400, 400]
    assert told["results"][1]["code"] == "stale"
    assert [told["results"][n]["version"] for n in (0, 1, 2, 3, 4)] == [2, 2, 1, 1, 2]
    assert await registry.store.count() == 4


async def test_a_stale_item_undoes_an_atomic_call(registry: Registry) -> None:
    """Like any other that fails."""
    made = await registry.create("/a")
    items = [
        {"action": "create", "link": {"destination": DESTINATION}},
        {"action": "update", "id": made["id"], "version": 2, "link": {"status": 301}},
    ]
    told = await _bulk(registry, items, mode="atomic", status=409)

    assert told["results"][1]["problem"] == 412
    assert await registry.store.count() == 1
