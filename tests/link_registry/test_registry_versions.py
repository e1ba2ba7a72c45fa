"""Versions, If-Match, and the history of a link."""

import asyncio
from typing import Any

import pytest

from tests.link_registry.registry_world import DESTINATION, READER, Registry


async def _changes(registry: Registry, link_id: str, query: str = "") -> dict[str, Any]:
    answer = await registry.call("GET", f"/v1/links/{link_id}/changes{query}", token=READER)
    assert answer.status == 200
    told: dict[str, Any] = await answer.json()
    return told


async def test_every_answer_with_a_link_names_its_version(registry: Registry) -> None:
    """As an entity tag, so that it can be sent back as it came."""
    body = {"path": "/a", "destination": DESTINATION}
    made = await registry.call("POST", "/v1/links", body)
    where = made.headers["Location"]
    read = await registry.call("GET", where)
    changed = await registry.call("PATCH", where, {"status": 301}, If_Match=read.headers["ETag"])

    assert [each.headers["ETag"] for each in (made, read, changed)] == ['"1"', '"1"', '"2"']


@pytest.mark.parametrize("stale", ['"1"', '"3"', 'W/"2"', '"1", "3"', '"x"'])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_of_another_version_is_refused(
    registry: Registry, method: str, stale: str
) -> None:
    """With the version that is there; nothing happens, also where nothing would change."""
    where = f"/v1/links/{(await registry.create('/a'))['id']}"
    await registry.call("PATCH", where, {"status": 301})
    answer = await registry.call(method, where, {"status": 301}, If_Match=stale)
    problem = await answer.json()

    assert answer.status == 412
    assert (problem["code"], problem["version"]) == ("stale", 2)
    assert answer.headers["ETag"] == '"2"'
    assert await registry.store.position() == 2


@pytest.mark.parametrize("good", ['"2"', '"1", "2"', "*"])
async def test_a_change_of_the_version_that_is_there_is_made(registry: Registry, good: str) -> None:
    """One of several may be named, or any."""
    where = f"/v1/links/{(await registry.create('/a'))['id']}"
    await registry.call("PATCH", where, {"status": 301})
    changed = await registry.call("PATCH", where, {"status": 307}, If_Match=good)
    deleted = await registry.call("DELETE", where, If_Match='"3"')

    assert (changed.status, deleted.status) == (200, 204)


@pytest.mark.parametrize("header", ["2", '"2', "", '"2" "3"', "* "])
async def test_a_version_that_is_none_is_refused(registry: Registry, header: str) -> None:
    """To take it for none at all would change what was not meant to be changed."""
    where = f"/v1/links/{(await registry.create('/a'))['id']}"
    answer = await registry.call("PATCH", where, {"status": 301}, If_Match=header)

    if header.strip() == "*":  # the space is no part of a header
        assert answer.status == 200
    else:
        assert answer.status == 400
        assert (await answer.json())["field"] == "If-Match"


async def test_of_many_with_one_version_one_wins(registry: Registry) -> None:
    """The comparison and the change are one transaction."""
    where = f"/v1/links/{(await registry.create('/a'))['id']}"
    calls = (
        registry.call("PATCH", where, {"note": str(number)}, If_Match='"1"') for number in range(10)
    )
    answers = await asyncio.gather(*calls)

    assert sorted(answer.status for answer in answers) == [200] + [412] * 9


async def test_what_stays_in_the_registry_does_not_wake_the_edges(registry: Registry) -> None:
    """A note is a new version and no news in the feed."""
    made = await registry.create("/a", tags=["x", "y", "x"], note="first", click_limit=7)
    changes: dict[str, Any] = {"note": "", "tags": [], "click_limit": None}
    answer = await registry.call("PATCH", f"/v1/links/{made['id']}", changes)
    told = (await answer.json())["link"]

    assert (made["tags"], made["note"], made["click_limit"]) == (["x", "y"], "first", 7)
    assert (told["tags"], told["note"], told["click_limit"]) == ([], None, None)
    assert told["version"] == 2
    assert await registry.store.position() == 1


async def test_the_history_says_who_did_what(registry: Registry) -> None:
    """Field by field, also of a link that is gone."""
    made = await registry.create("/a", note="n")
    where = f"/v1/links/{made['id']}"
    await registry.call("PATCH", where, {"status": 301, "tags": ["t"]})
    await registry.call("PATCH", where, {"status": 301})
    await registry.call("DELETE", where)
    told = await _changes(registry, made["id"])
    created, changed, deleted = told["changes"]

    assert told["next"] is None
    assert [each["version"] for each in told["changes"]] == [1, 2, 3]
    assert [each["action"] for each in told["changes"]] == ["create", "update", "delete"]
    assert {each["who"] for each in told["changes"]} == {"editor"}
    assert {"field": "path", "before": None, "after": "/a"} in created["fields"]
    assert changed["fields"] == [
        {"field": "status", "before": 302, "after": 301},
        {"field": "tags", "before": [], "after": ["t"]},
    ]
    assert {"field": "note", "before": "n", "after": None} in deleted["fields"]


async def test_a_history_has_pages(registry: Registry) -> None:
    """And a cursor of one link says nothing about another."""
    made, other = await registry.create("/a"), await registry.create("/b")
    for number in range(4):
        await registry.call("PATCH", f"/v1/links/{made['id']}", {"note": str(number)})
    first = await _changes(registry, made["id"], "?limit=3")
    rest = await _changes(registry, made["id"], f"?limit=3&cursor={first['next']}")
    wrong = f"/v1/links/{other['id']}/changes?cursor={first['next']}"

    assert [each["version"] for each in first["changes"] + rest["changes"]] == [1, 2, 3, 4, 5]
    assert rest["next"] is None
    assert (await registry.call("GET", wrong)).status == 400


async def test_a_link_that_never_was_has_no_history(registry: Registry) -> None:
    """It is not found, rather than empty."""
    assert (await registry.call("GET", "/v1/links/x/changes")).status == 404
