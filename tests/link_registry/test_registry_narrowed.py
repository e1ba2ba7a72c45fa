"""What a token that is restricted to hosts or tags sees of the links, and may change."""

from typing import Any

import pytest

from link_registry.api import API
from link_registry.bulk.items import ITEMS_A_PART
from milepost.access.api import TOKEN_CALLS
from tests.link_registry.registry_world import DESTINATION, OPERATOR, Registry

MAY = {"scopes": ["links:read", "links:write"]}


async def make(registry: Registry, name: str, **more: Any) -> str:
    """Return a token that may do everything with links, restricted as *more* says."""
    body = MAY | {"name": name} | more
    answer = await registry.call("POST", "/v1/tokens", body, token=OPERATOR)
    told = await answer.json()
    assert answer.status == 201, told
    return str(told["secret"])


@pytest.fixture
async def links(registry: Registry) -> dict[str, str]:
    """Return the ids of links on two hosts and on every host, with a tag and without."""
    found = {}
    for host in ("a.test", "b.test", "*"):
        for tag in ("spring", "autumn"):
            path = f"/{tag}-{host.strip('*') or 'any'}"
            link = await registry.create(path, host=host, tags=[tag])
            found[f"{host} {tag}"] = link["id"]
    return found


async def listed(registry: Registry, token: str, query: str = "") -> list[str]:
    """Return host and tag of the links that *token* sees, page by page."""
    found, cursor = [], ""
    while True:
        answer = await registry.call("GET", f"/v1/links?limit=1{query}{cursor}", token=token)
        told = await answer.json()
        assert answer.status == 200, told
        found += [f"{each['host']} {each['tags'][0]}" for each in told["links"]]
        if told["next"] is None:
            return sorted(found)
        cursor = f"&cursor={told['next']}"


RESTRICTIONS = [
    ({"hosts": ["A.test"]}, ["a.test autumn", "a.test spring"]),
    ({"tags": ["spring"]}, ["* spring", "a.test spring", "b.test spring"]),
    ({"hosts": ["a.test", "b.test"], "tags": ["spring"]}, ["a.test spring", "b.test spring"]),
    ({"hosts": ["c.test"]}, []),
]


@pytest.mark.parametrize(("restriction", "seen"), RESTRICTIONS)
async def test_a_token_sees_its_links(
    restriction: dict[str, Any], seen: list[str], registry: Registry, links: dict[str, str]
) -> None:
    """In lists, one by one, and among the hosts; of others it is told what is missing."""
    token = await make(registry, "narrow", **restriction)
    statuses = {}
    for name, link in links.items():
        for path in ("", "/changes", "/explain"):
            answer = await registry.call("GET", f"/v1/links/{link}{path}", token=token)
            statuses[f"{name}{path}"] = answer.status
    hosts = await (await registry.call("GET", "/v1/hosts", token=token)).json()

    assert await listed(registry, token) == seen
    assert {name for name, status in statuses.items() if status == 200} == {
        f"{name}{path}" for name in seen for path in ("", "/changes", "/explain")
    }
    assert set(statuses.values()) <= {200, 403}
    counts = {each["host"]: each["links"] for each in hosts["hosts"]}
    names = [name.split()[0] for name in seen]
    assert counts == {host: names.count(host) for host in names}


async def test_a_token_changes_only_what_it_sees(registry: Registry, links: dict[str, str]) -> None:
    """Nor does it put a link where it would not see it."""
    token = await make(registry, "narrow", hosts=["a.test"], tags=["spring"])
    body = {"path": "/new", "destination": DESTINATION, "tags": ["spring"], "host": "a.test"}

    async def status(method: str, path: str, body: Any = None) -> int:
        answer = await registry.call(method, path, body, token=token)
        if answer.status == 403:
            assert (await answer.json())["code"] == "narrowed"
        return answer.status

    mine, other = f"/v1/links/{links['a.test spring']}", f"/v1/links/{links['b.test spring']}"
    assert await status("POST", "/v1/links", body) == 201
    assert await status("POST", "/v1/links", body | {"host": "b.test"}) == 403
    assert await status("POST", "/v1/links", {"destination": DESTINATION}) == 403
    assert await status("PATCH", mine, {"note": "mine"}) == 200
    assert await status("PATCH", mine, {"host": "b.test"}) == 403
    assert await status("PATCH", mine, {"tags": ["autumn"]}) == 403
    assert await status("PATCH", other, {"host": "a.test"}) == 403
    assert await status("DELETE", other) == 403
    assert await status("DELETE", mine) == 204
    assert await status("GET", f"{mine}/changes") == 404
    assert await status("GET", "/v1/links?host=b.test") == 403
    assert await status("GET", "/v1/feed/positions") == 403


async def test_nor_does_it_find_what_it_does_not_see(
    registry: Registry, links: dict[str, str]
) -> None:
    """The link that answers a visit is told, or what is missing; never another in its place."""
    by_host = await make(registry, "by-host", hosts=["a.test"])
    by_tag = await make(registry, "by-tag", tags=["spring"])

    async def found(token: str, host: str, path: str) -> tuple[int, str | None]:
        query = f"/v1/links/at?host={host}&path={path}"
        answer = await registry.call("GET", query, token=token)
        told = await answer.json()
        return answer.status, told["link"]["id"] if answer.status == 200 else told["code"]

    mine = 200, links["a.test spring"]
    assert await found(by_host, "A.test:8080", "/spring-a.test") == mine
    assert await found(by_tag, "a.test", "/spring-a.test") == mine
    assert await found(by_tag, "b.test", "/spring-any") == (200, links["* spring"])
    assert await found(by_host, "a.test", "/nowhere") == (404, "not_found")
    assert await found(by_host, "a.test", "/spring-any") == (403, "narrowed")
    assert await found(by_tag, "a.test", "/autumn-a.test") == (403, "narrowed")
    for path in ("/spring-b.test", "/nowhere"):  # of another host it is not even told so much
        assert await found(by_host, "b.test", path) == (403, "narrowed")


def test_no_call_narrows_without_being_tried_here() -> None:
    """All others are closed to a restricted token: grants among them, on links of any host."""
    told = {call.name for call in API.calls if call.narrows} - {each.name for each in TOKEN_CALLS}

    assert told == {
        *("create_link", "list_links", "find_link", "read_link", "explain_link", "change_link"),
        *("delete_link", "list_changes", "list_hosts", "change_many_links"),
    }


async def test_nor_in_bulk(registry: Registry, links: dict[str, str]) -> None:
    """Each item is refused by itself, also one that would change nothing, and tells nothing."""
    token = await make(registry, "narrow", hosts=["a.test"])
    new = {"path": "/new", "destination": DESTINATION, "tags": ["spring"]}
    items = [
        {"link": new | {"host": "a.test"}},
        {"link": new | {"host": "b.test"}},
        {"action": "update", "id": links["b.test spring"], "link": {}},
        {"action": "delete", "link": {"host": "b.test", "path": "/spring-b.test"}},
        {"action": "delete", "link": {"host": "b.test", "path": "/nowhere"}},
        {"action": "update", "id": links["a.test spring"], "link": {"host": "b.test"}},
        {"action": "delete", "id": links["a.test spring"]},
    ]
    answer = await registry.call("POST", "/v1/links/bulk", {"items": items}, token=token)
    told = (await answer.json())["results"]

    assert answer.status == 200
    assert [each["status"] for each in told] == [
        *("created", "failed", "failed", "failed", "failed", "failed", "deleted")
    ]
    assert {each["code"] for each in told if each["status"] == "failed"} == {"narrowed"}
    assert all("version" not in each for each in told if each["status"] == "failed")
    assert len(await listed(registry, OPERATOR)) == 6


@pytest.mark.parametrize("mode", ["best-effort", "atomic"])
async def test_nor_in_any_part_of_a_bulk_call(
    registry: Registry, links: dict[str, str], mode: str
) -> None:
    """Also in the last of several parts, at a path that is drawn, and at a version."""
    token = await make(registry, "narrow", tags=["spring"])
    new = {"destination": DESTINATION, "host": "a.test"}
    other = links["a.test autumn"]
    good = [{"action": "create", "link": new | {"tags": ["spring"]}} for _ in range(ITEMS_A_PART)]
    bad: list[dict[str, Any]] = [
        {"action": "create", "link": new},
        {"action": "update", "id": other, "version": 9, "link": {"tags": ["spring"]}},
        {"action": "delete", "id": other, "version": 1},
        {"action": "update", "id": links["a.test spring"], "version": 1, "link": {"tags": []}},
    ]
    body = {"items": good + bad, "mode": mode}
    answer = await registry.call("POST", "/v1/links/bulk", body, token=token)
    told = (await answer.json())["results"]

    assert answer.status == (200 if mode == "best-effort" else 409)
    assert {each["status"] for each in told[:ITEMS_A_PART]} == {"created"}
    assert [(each["problem"], each["code"]) for each in told[ITEMS_A_PART:]] == (
        [(403, "narrowed")] * len(bad)
    )
    assert all("version" not in each and "path" not in each for each in told[ITEMS_A_PART:])
    kept = ITEMS_A_PART if mode == "best-effort" else 0
    page = await (await registry.call("GET", "/v1/links?limit=1000", token=OPERATOR)).json()
    assert len(page["links"]) == len(links) + kept


async def test_a_token_is_taken_where_it_is_kept(registry: Registry) -> None:
    """From the next call on until it is revoked; its scopes are those of the registry."""
    token = await make(registry, "mine")
    first = await registry.call("GET", "/v1/links", token=token)
    await registry.call("DELETE", "/v1/tokens/mine", token=OPERATOR)
    last = await registry.call("GET", "/v1/links", token=token)
    body = {"name": "other", "scopes": ["hits:read"]}
    other = await registry.call("POST", "/v1/tokens", body, token=OPERATOR)

    assert (first.status, last.status, other.status) == (200, 401, 400)
    assert first.headers["RateLimit-Policy"] == '"token";q=600;w=60'
    assert (await other.json())["field"] == "scopes"
