"""Filters, search, order and pages of links."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from milepost.vocabulary import Millis
from tests.link_registry.registry_world import Registry, running_registry

LINKS: dict[str, dict[str, Any]] = {
    "/docs/*": {"destination": "https://docs.example.com/*", "tags": ["docs"]},
    "/docs/a": {"host": "go.test", "destination": "https://Example.com:8443/x", "note": "100% a_b"},
    "/sale": {"host": "go.test", "tags": ["spring", "sale 2026"], "enabled": False},
    "/late": {"expires_ms": 500, "tags": ["spring"]},
    "/soon": {"host": "other.test:8080", "expires_ms": 2_000, "note": 'say "Grüße"'},
}


@pytest_asyncio.fixture
async def filled(tmp_path: Path) -> AsyncIterator[Registry]:
    """A registry at moment 1,000 with the links above, made one millisecond after another."""
    async with running_registry(tmp_path) as registry:
        for number, (path, fields) in enumerate(LINKS.items()):
            registry.clock.at = Millis(100 + number)
            await registry.create(path, **fields)
        registry.clock.at = Millis(1_000)
        yield registry


async def _paths(registry: Registry, query: str) -> list[str]:
    answer = await registry.call("GET", f"/v1/links?{query}")
    told = await answer.json()
    assert answer.status == 200, told
    return [link["path"] for link in told["links"]]


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("", list(LINKS)),
        ("host=*", ["/docs/*", "/late"]),
        ("host=GO.test.", ["/docs/a", "/sale"]),
        ("host=go.test:80", []),
        ("path_prefix=/docs/", ["/docs/*", "/docs/a"]),
        ("path_prefix=/docs/a", ["/docs/a"]),
        ("path_prefix=/%25", []),
        ("tag=spring", ["/sale", "/late"]),
        ("tag=spring&tag=sale+2026", ["/sale"]),
        ("tag=sale", []),
        ("enabled=false", ["/sale"]),
        ("enabled=true&host=go.test", ["/docs/a"]),
        ("expired=true", ["/late"]),
        ("expired=false", ["/docs/*", "/docs/a", "/sale", "/soon"]),
        ("kind=pattern", ["/docs/*"]),
        ("kind=literal&expired=true", ["/late"]),
        ("destination_host=example.com", ["/docs/a"]),
        ("destination_host=EXAMPLE.com:8443", ["/docs/a"]),
        ("destination_host=example.com:8444", []),
        ("q=DOCS", ["/docs/*", "/docs/a"]),
        ("q=spring", ["/sale", "/late"]),
        ("q=0%25", ["/docs/a"]),
        ("q=a_b", ["/docs/a"]),
        ("q=%25", ["/docs/a"]),
        ("q=_", ["/docs/a"]),
        ("q=Gr%C3%BC%C3%9Fe", ["/soon"]),
        ("q=[", []),
        ("q=%22", ["/soon"]),
        ("sort=path", sorted(LINKS)),
        ("sort=path&direction=desc", sorted(LINKS, reverse=True)),
        ("direction=desc", list(LINKS)[::-1]),
    ],
)
async def test_what_is_asked_is_found(filled: Registry, query: str, paths: list[str]) -> None:
    """And nothing else; what is searched for stands for itself."""
    assert await _paths(filled, query) == paths


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("host=a%20b", "host"),
        ("path_prefix=docs", "path_prefix"),
        ("tag=a,b", "tag"),
        ("tag=", "tag"),
        ("&".join(["tag=a"] * 21), "tag"),
        ("enabled=yes", "enabled"),
        ("expired=1", "expired"),
        ("kind=regex", "kind"),
        ("destination_host=https://a", "destination_host"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("q=" + "a" * 101, "q"),
        ("sort=note", "sort"),
        ("direction=up", "direction"),
    ],
)
async def test_a_filter_that_is_wrong_is_named(filled: Registry, query: str, name: str) -> None:
    """With what it may hold."""
    answer = await filled.call("GET", f"/v1/links?{query}")
    problem = await answer.json()

    assert answer.status == 400
    assert problem["field"] == name
    assert problem["accepted"]


@pytest.mark.parametrize("sort", ["created", "updated", "host", "path", "destination"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_pages_of_any_order_hold_every_link_once(
    filled: Registry, sort: str, direction: str
) -> None:
    """Also where many are alike in what they are sorted by."""
    for number in range(6):
        await filled.create(f"/same/{number}", host="go.test")
    query = f"sort={sort}&direction={direction}"
    whole = await _paths(filled, query)
    seen: list[str] = []
    more = f"{query}&limit=2"
    while more:
        told = await (await filled.call("GET", f"/v1/links?{more}")).json()
        seen += [link["path"] for link in told["links"]]
        more = f"{query}&limit=2&cursor={told['next']}" if told["next"] else ""

    assert seen == whole
    assert len(set(seen)) == 11


async def test_a_page_is_not_moved_by_links_that_come_and_go(filled: Registry) -> None:
    """The cursor names a place, not a number of links."""
    told = await (await filled.call("GET", "/v1/links?limit=3")).json()
    for link in told["links"]:
        await filled.call("DELETE", f"/v1/links/{link['id']}")

    assert await _paths(filled, f"limit=3&cursor={told['next']}") == ["/late", "/soon"]


@pytest.mark.parametrize("other", ["sort=path", "direction=desc", "host=*", "tag=spring", "q=a"])
async def test_a_cursor_belongs_to_its_question(filled: Registry, other: str) -> None:
    """Under another it would pass over links without a word."""
    told = await (await filled.call("GET", "/v1/links?limit=1")).json()
    answer = await filled.call("GET", f"/v1/links?{other}&cursor={told['next']}")

    assert answer.status == 400
    assert (await answer.json())["field"] == "cursor"


async def test_hosts_are_counted(filled: Registry) -> None:
    """Page by page, by name."""
    told = await (await filled.call("GET", "/v1/hosts?limit=2")).json()
    rest = await (await filled.call("GET", f"/v1/hosts?limit=2&cursor={told['next']}")).json()

    assert told["hosts"] == [
        {"host": "*", "links": 2},
        {"host": "go.test", "links": 2},
    ]
    assert rest == {"hosts": [{"host": "other.test:8080", "links": 1}], "next": None}
