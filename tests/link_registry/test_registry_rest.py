"""The calls that read and change links."""

from typing import Any

import pytest

from link_registry.entries import ALPHABET, ID_CHARS
from milepost.vocabulary import Millis, Position
from tests.link_registry.registry_world import (
    DESTINATION,
    EDGE,
    EDITOR,
    READER,
    Registry,
    bearer,
)

GOOD = {"path": "/a", "destination": DESTINATION}


async def test_a_created_link_can_be_read(registry: Registry) -> None:
    """What was left out has its default, and the id is easily read aloud."""
    made = await registry.create("/spring")
    answer = await registry.call("GET", f"/v1/links/{made['id']}")

    assert (await answer.json())["link"] == made
    assert made == {
        "id": made["id"],
        "host": "*",
        "path": "/spring",
        "destination": DESTINATION,
        "status": 302,
        "enabled": True,
        "pass_query": False,
        "expires_ms": None,
        "rules": [],
        "tags": [],
        "note": None,
        "click_limit": None,
        "clicks": 0,
        "version": 1,
        "created_ms": 1_000,
        "updated_ms": 1_000,
    }
    assert len(made["id"]) == ID_CHARS
    assert set(made["id"]) <= set(ALPHABET)


async def test_a_patch_changes_what_it_names(registry: Registry) -> None:
    """The other fields stay, and the version tells that something happened."""
    made = await registry.create("/spring", host="go.example.org")
    registry.clock.at = Millis(1_005)
    answer = await registry.call("PATCH", f"/v1/links/{made['id']}", {"enabled": False})

    assert answer.status == 200
    assert (await answer.json())["link"] == made | {
        "enabled": False,
        "version": 2,
        "updated_ms": 1_005,
    }


@pytest.mark.parametrize("body", [{}, {"path": "/spring"}], ids=["nothing", "the same"])
async def test_a_patch_that_changes_nothing_is_no_change(registry: Registry, body: Any) -> None:
    """A call that is repeated to be sure does not wake every edge."""
    made = await registry.create("/spring")
    answer = await registry.call("PATCH", f"/v1/links/{made['id']}", body)

    assert (await answer.json())["link"] == made
    assert await registry.store.position() == 1


async def test_a_deleted_link_is_gone(registry: Registry) -> None:
    """And its place is free for another."""
    made = await registry.create("/spring")
    answer = await registry.call("DELETE", f"/v1/links/{made['id']}")
    again = await registry.call("GET", f"/v1/links/{made['id']}")

    assert answer.status == 204
    assert again.status == 404
    assert (await registry.create("/spring"))["id"] != made["id"]


async def test_one_place_has_one_link(registry: Registry) -> None:
    """Two links of one host and path are refused, made or moved there, and nothing is left."""
    first = await registry.create("/one")
    second = await registry.create("/two")
    made = await registry.call("POST", "/v1/links", GOOD | {"path": "/one"})
    moved = await registry.call("PATCH", f"/v1/links/{second['id']}", {"path": "/one"})

    for answer in (made, moved):
        problem = await answer.json()
        assert answer.status == 409
        assert problem["code"] == "conflict"
        assert first["id"] in problem["detail"]
    assert await registry.store.position() == 2


async def test_one_path_on_two_hosts_is_two_places(registry: Registry) -> None:
    """A link of a host does not stand in the way of one for every host."""
    await registry.create("/one")
    await registry.create("/one", host="go.example.org")

    assert await registry.store.count() == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "destination"),
        ([], "the body"),
        ("text", "the body"),
        (GOOD | {"id": "abc"}, "id"),
        (GOOD | {"version": 7}, "version"),
        (GOOD | {"colour": "red"}, "colour"),
        ({"path": "/a"}, "destination"),
        (GOOD | {"destination": "javascript:alert(1)"}, "destination"),
        (GOOD | {"destination": "https://example.org/a b"}, "destination"),
        (GOOD | {"destination": "https://example.org/" + "a" * 2_048}, "destination"),
        (GOOD | {"destination": 7}, "destination"),
        (GOOD | {"path": "no-slash"}, "path"),
        (GOOD | {"path": "/"}, "path"),
        (GOOD | {"path": "/e/example.org"}, "path"),
        (GOOD | {"path": "/a?b"}, "path"),
        (GOOD | {"path": "/a\r\nb"}, "path"),
        (GOOD | {"path": "/" + "a" * 1_024}, "path"),
        (GOOD | {"path": None}, "path"),
        (GOOD | {"host": "not a host"}, "host"),
        (GOOD | {"host": ""}, "host"),
        (GOOD | {"host": None}, "host"),
        (GOOD | {"status": 200}, "status"),
        (GOOD | {"status": "302"}, "status"),
        (GOOD | {"status": True}, "status"),
        (GOOD | {"enabled": "yes"}, "enabled"),
        (GOOD | {"enabled": 1}, "enabled"),
        (GOOD | {"pass_query": 1}, "pass_query"),
        (GOOD | {"pass_query": None}, "pass_query"),
        (GOOD | {"expires_ms": 0}, "expires_ms"),
        (GOOD | {"expires_ms": "2030-01-01"}, "expires_ms"),
        (GOOD | {"expires_ms": 10**16}, "expires_ms"),
        (GOOD | {"path": "/docs/*/more"}, "path"),
        (GOOD | {"path": "/docs*"}, "path"),
        (GOOD | {"path": "/docs/**"}, "path"),
        (GOOD | {"path": "/e/*"}, "path"),
        (GOOD | {"path": "/docs/*", "destination": "https://example.org*"}, "destination"),
        (GOOD | {"path": "/docs/*", "destination": "https://*"}, "destination"),
        (GOOD | {"path": "/docs/*", "destination": "https://a@*"}, "destination"),
    ],
)
async def test_what_is_wrong_is_named(registry: Registry, body: Any, field: str) -> None:
    """The first word of the detail is the field, and nothing was stored."""
    answer = await registry.call("POST", "/v1/links", body)
    problem = await answer.json()

    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert problem["code"] == "rejected"
    assert problem["detail"].startswith(f"{field}:")
    assert problem["field"] == field
    assert problem["accepted"]
    assert problem["got"]
    assert await registry.store.position() == 0


async def test_a_body_that_is_no_json_is_refused(registry: Registry) -> None:
    """So is one that is not UTF-8."""
    bodies: tuple[bytes, ...] = (b"", b"{", b"\xff\xfe", b'{"path": "\\ud800"}')
    for body in bodies:
        answer = await registry.client.post("/v1/links", data=body, headers=bearer(EDITOR))

        assert answer.status == 400


async def test_a_patch_is_checked_like_a_new_link(registry: Registry) -> None:
    """A wrong field is named, and the link stays as it was."""
    made = await registry.create("/spring")
    answer = await registry.call("PATCH", f"/v1/links/{made['id']}", {"status": 418})

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith("status:")
    assert (await registry.store.get(made["id"])).to_json() == made


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_id_nobody_has_is_not_found(registry: Registry, method: str) -> None:
    """Whatever it looks like."""
    for link_id in ("0000000000", "%00", "x" * 3_000):
        body: dict[str, str] | None = {} if method == "PATCH" else None
        answer = await registry.call(method, f"/v1/links/{link_id}", body)

        assert answer.status == 404
        assert (await answer.json())["code"] == "not_found"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=ten", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=!", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("cursor=a", "cursor"),
        ("offset=3", "offset"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(
    registry: Registry, query: str, name: str
) -> None:
    """One that is not known too: to ignore it would be to answer another question."""
    answer = await registry.call("GET", f"/v1/links?{query}")

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith(f"{name}:")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/links"),
        ("GET", "/v1/links/x"),
        ("PATCH", "/v1/links/x"),
        ("DELETE", "/v1/links/x"),
        ("GET", "/sync/stream"),
    ],
)
async def test_no_call_ignores_a_parameter(registry: Registry, method: str, path: str) -> None:
    """Those that take none say so."""
    token = EDGE if path == "/sync/stream" else EDITOR
    answer = await registry.call(method, f"{path}?dry_run=1", token=token)

    assert answer.status == 400
    assert (await answer.json())["detail"].startswith("dry_run:")


async def test_pages_hold_every_link_once(registry: Registry) -> None:
    """Following `next` to its end reads all, and the last page has none."""
    made = {(await registry.create(f"/{n}"))["id"] for n in range(7)}
    seen, query = [], "limit=3"
    while query:
        told = await (await registry.call("GET", f"/v1/links?{query}")).json()
        seen += [link["id"] for link in told["links"]]
        query = f"limit=3&cursor={told['next']}" if told["next"] else ""

    assert len(seen) == 7
    assert set(seen) == made


async def test_a_full_last_page_has_no_next(registry: Registry) -> None:
    """A caller is not sent to fetch an empty page."""
    for n in range(3):
        await registry.create(f"/{n}")
    told = await (await registry.call("GET", "/v1/links?limit=3")).json()

    assert len(told["links"]) == 3
    assert told["next"] is None


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        ("unknown", "GET", "/v1/links", 401),
        ("unknown", "GET", "/sync/stream", 401),
        (READER, "POST", "/v1/links", 403),
        (READER, "PATCH", "/v1/links/x", 403),
        (READER, "DELETE", "/v1/links/x", 403),
        (READER, "GET", "/sync/stream", 403),
        (EDGE, "GET", "/v1/links", 403),
        (EDGE, "GET", "/v1/links/x", 403),
        (READER, "GET", "/v1/links", 200),
    ],
)
async def test_each_call_wants_its_scope(
    registry: Registry, token: str, method: str, path: str, status: int
) -> None:
    """Nobody gets further than their token says."""
    answer = await registry.call(method, path, token=token)

    assert answer.status == status


async def test_nobody_gets_in_without_a_token(registry: Registry) -> None:
    """Only health is open."""
    refused = await registry.client.get("/v1/links")
    ready = await registry.client.get("/readyz")

    assert refused.status == 401
    assert ready.status == 200
    assert await ready.json() == {"ready": True, "reasons": {}}


async def test_each_change_names_who_made_it(registry: Registry) -> None:
    """The history holds action, link and the token's name, in the link's own transaction."""
    made = await registry.create("/spring")
    await registry.call("PATCH", f"/v1/links/{made['id']}", {"status": 301})
    await registry.call("DELETE", f"/v1/links/{made['id']}")
    rows = await registry.store._readers.rows(
        "SELECT action, link, who FROM history ORDER BY version"
    )
    changes = await registry.store.changes_after(Position(0), 10)

    assert rows == [(action, made["id"], "editor") for action in ("create", "update", "delete")]
    assert [change.position for change in changes] == [1, 2, 3]
