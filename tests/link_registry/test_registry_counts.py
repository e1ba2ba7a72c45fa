"""Click limits: totals that are told, and links that have had enough."""

from pathlib import Path
from typing import Any

import pytest

from milepost.vocabulary import Position
from tests.link_registry.registry_world import COUNTER, EDITOR, Registry, running_registry


async def limited(registry: Registry, query: str = "") -> dict[str, Any]:
    """Return a page of limited links."""
    answer = await registry.call("GET", f"/v1/links/limited{query}", token=COUNTER)
    assert answer.status == 200
    told: dict[str, Any] = await answer.json()
    return told


async def tell(registry: Registry, **counts: int) -> list[str]:
    """Tell totals; return which links were disabled."""
    answer = await registry.call("POST", "/v1/links/counts", {"counts": counts}, token=COUNTER)
    assert answer.status == 200, await answer.text()
    disabled: list[str] = (await answer.json())["disabled"]
    return disabled


async def link(registry: Registry, link_id: str) -> dict[str, Any]:
    """Return a link as it is now."""
    answer = await registry.call("GET", f"/v1/links/{link_id}")
    told: dict[str, Any] = (await answer.json())["link"]
    return told


async def test_who_counts_is_told_which_links_to_count(registry: Registry) -> None:
    """Those that have a limit and are enabled, page by page, with what is known of them."""
    ids = sorted([(await registry.create(f"/{n}", click_limit=5 + n))["id"] for n in range(3)])
    await registry.create("/free")
    await registry.create("/off", click_limit=5, enabled=False)
    await tell(registry, **{ids[0]: 2})
    first = await limited(registry, "?limit=2")
    second = await limited(registry, f"?limit=2&cursor={first['next']}")

    assert [each["id"] for each in (*first["links"], *second["links"])] == ids
    assert first["links"][0]["clicks"] == 2
    assert sorted(each["click_limit"] for each in (*first["links"], *second["links"])) == [5, 6, 7]
    assert second["next"] is None


async def test_a_total_makes_no_version_and_no_noise(registry: Registry) -> None:
    """People who hold an entity tag, and edges, are not disturbed by clicks."""
    made = await registry.create("/a", click_limit=3)
    disabled = await tell(registry, **{made["id"]: 2})

    assert disabled == []
    assert await link(registry, made["id"]) == made | {"clicks": 2}
    assert await registry.store.position() == 1


async def test_a_link_that_reaches_its_limit_is_disabled(registry: Registry) -> None:
    """At once, by name, and once: telling it again changes nothing."""
    made = await registry.create("/a", click_limit=3)
    disabled = [await tell(registry, **{made["id"]: clicks}) for clicks in (3, 3, 4)]
    now = await link(registry, made["id"])
    changes = await registry.call("GET", f"/v1/links/{made['id']}/changes")
    newest = (await changes.json())["changes"][-1]

    assert disabled == [[made["id"]], [], []]
    assert (now["enabled"], now["clicks"], now["version"]) == (False, 4, 2)
    assert await registry.store.position() == 2
    assert (newest["version"], newest["who"]) == (2, "counter")
    assert newest["fields"] == [{"field": "enabled", "before": True, "after": False}]
    assert (await limited(registry))["links"] == []


async def test_a_total_never_falls(registry: Registry) -> None:
    """A combined database that was set back has counted less, and knows no better."""
    made = await registry.create("/a", click_limit=9)
    for clicks in (5, 3, 0):
        await tell(registry, **{made["id"]: clicks})

    assert (await link(registry, made["id"]))["clicks"] == 5


async def test_a_raised_limit_gives_a_link_another_life(registry: Registry) -> None:
    """Enabled again it redirects until the new limit; without a new limit it ends again."""
    made = await registry.create("/a", click_limit=3)
    where = f"/v1/links/{made['id']}"
    await tell(registry, **{made["id"]: 3})
    await registry.call("PATCH", where, {"enabled": True})
    again = await tell(registry, **{made["id"]: 0})
    await registry.call("PATCH", where, {"click_limit": 5, "enabled": True})
    more = [await tell(registry, **{made["id"]: clicks}) for clicks in (4, 5)]

    assert again == [made["id"]]
    assert more == [[], [made["id"]]]


async def test_a_change_by_people_keeps_the_total(registry: Registry) -> None:
    """It is no field of theirs: a change of the others leaves it, and it cannot be set."""
    made = await registry.create("/a", click_limit=9)
    await tell(registry, **{made["id"]: 4})
    await registry.call("PATCH", f"/v1/links/{made['id']}", {"note": "new"})
    refused = await registry.call("PATCH", f"/v1/links/{made['id']}", {"clicks": 0})

    assert (await link(registry, made["id"]))["clicks"] == 4
    assert refused.status == 400


async def test_what_is_gone_or_has_no_limit_is_passed_over(registry: Registry) -> None:
    """The others in the call are counted; a limit that was taken away disables nothing."""
    made = await registry.create("/a", click_limit=2)
    free = await registry.create("/free")
    disabled = await tell(registry, gone=7, **{free["id"]: 9, made["id"]: 2})

    assert disabled == [made["id"]]
    assert (await link(registry, free["id"]))["enabled"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"counts": []},
        {"counts": {"a": -1}},
        {"counts": {"a": True}},
        {"counts": {"a": 1.5}},
        {"counts": {"a": "1"}},
        {"counts": {"a": 1 << 53}},
        {"counts": {"": 1}},
        {"counts": {"a" * 65: 1}},
        {"counts": {}, "more": 1},
        {"counts": {str(n): 1 for n in range(10_001)}},
    ],
)
async def test_what_is_no_count_is_refused(registry: Registry, body: Any) -> None:
    """In whole: half of a call would be told as done."""
    answer = await registry.call("POST", "/v1/links/counts", body, token=COUNTER)

    assert answer.status == 400


async def test_ten_thousand_links_are_counted_in_one_call(registry: Registry) -> None:
    """As many as a call may name, with the longest ids that it may have."""
    counts = {f"{n:064d}": 1 for n in range(10_000)}
    answer = await registry.call("POST", "/v1/links/counts", {"counts": counts}, token=COUNTER)

    assert answer.status == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "limited"), ("POST", "counts")])
async def test_who_writes_links_does_not_count(registry: Registry, method: str, path: str) -> None:
    """It takes a scope of its own, which the aggregator has."""
    nobody = await registry.client.request(method, f"/v1/links/{path}")
    editor = await registry.call(method, f"/v1/links/{path}", token=EDITOR)

    assert (nobody.status, editor.status) == (401, 403)


async def test_a_total_outlives_the_process(tmp_path: Path) -> None:
    """And so does the end that it brought about."""
    async with running_registry(tmp_path) as before:
        made = await before.create("/a", click_limit=2)
        await tell(before, **{made["id"]: 2})
    async with running_registry(tmp_path) as after:
        now = await link(after, made["id"])

        assert (now["clicks"], now["enabled"]) == (2, False)
        assert await after.store.position() == Position(2)


@pytest.mark.parametrize(("path", "method"), [("limited", "GET"), ("counts", "POST")])
async def test_a_word_of_a_call_is_no_id(registry: Registry, path: str, method: str) -> None:
    """What the call has no method for is refused as such, and not looked for as a link."""
    answer = await registry.call("DELETE", f"/v1/links/{path}")
    other = await registry.call("DELETE", f"/v1/links/{path}s")

    assert (answer.status, answer.headers["Allow"]) == (405, method)
    assert other.status == 404
