"""Which link answers a visit: the registry says what an edge does."""

import random
from typing import Any

import pytest
from yarl import URL

from link_registry.listing.store import MAY_ANSWER, Listing
from milepost.finding.places import patterns_over
from milepost.links import PATH_CHARS_MAX, link_from
from regional_logger.links.table import LinkTable
from tests.link_registry.registry_world import DESTINATION, EDGE, READER, Registry

AT = "/v1/links/at"
HOSTS = ("*", "a.example", "a.example:81")
VISITED = ("", "a.example", "A.example:81", "a.example.:81", "b.example")
PIECES = ("", "a", "b", "a+", "docs")


async def _found(registry: Registry, host: str, path: str) -> dict[str, Any] | None:
    query = {"host": host, "path": path}
    answer = await registry.call("GET", str(URL(AT).with_query(query)), token=READER)
    told = await answer.json()
    assert answer.status in {200, 404}, told
    return told["link"] if answer.status == 200 else None


def _some_path(chance: random.Random) -> str:
    return "".join(f"/{chance.choice(PIECES)}" for _ in range(chance.randint(1, 4)))


async def test_the_registry_finds_what_an_edge_finds(registry: Registry) -> None:
    """Of a few hundred links in one another's way, for visits to any of their hosts."""
    chance, table = random.Random(1), LinkTable(bytes(16))
    places = {
        (chance.choice(HOSTS), _some_path(chance) + chance.choice(("", "/*"))) for _ in range(200)
    }
    fields = [
        {"host": host, "path": path, "destination": DESTINATION, "enabled": chance.random() < 0.9}
        for host, path in sorted(places)
        if path != "/"
    ]
    body = {"items": [{"link": each} for each in fields], "mode": "atomic"}
    answer = await registry.call("POST", "/v1/links/bulk", body)
    results = (await answer.json())["results"]
    for each, result in zip(fields, results, strict=True):
        table.change((), link_from(each, result["id"]))

    listing, answered = Listing(registry.store.readers), 0
    for _ in range(300):
        host, path = chance.choice(VISITED), _some_path(chance)
        theirs, ours = table.find(host, path), await listing.answering(host, path)
        if theirs is None:
            assert ours is None or not ours.link.enabled
        else:
            assert ours is not None
            assert ours.link == theirs
            answered += 1
    assert answered > 50


async def test_a_disabled_link_is_found_where_no_other_answers(registry: Registry) -> None:
    """It is what somebody asks about who wonders why there is a 404."""
    off = await registry.create("/docs/a", enabled=False)
    alone = await _found(registry, "x.example", "/docs/a")
    other = await registry.create("/docs/*")
    beside = await _found(registry, "x.example", "/docs/a")

    assert alone is not None
    assert alone["id"] == off["id"]
    assert beside is not None
    assert beside["id"] == other["id"]


@pytest.mark.parametrize("path", ["/", "/robots.txt", "/e/example.com/a", "/none"])
async def test_where_no_link_answers_there_is_none(registry: Registry, path: str) -> None:
    """Nor is one where the edge answers by itself, whatever a pattern stands for."""
    await registry.create("/*", host="a.example")

    assert await _found(registry, "b.example", path) is None
    assert (await _found(registry, "a.example", path) is not None) is (path == "/none")


async def test_one_that_is_found_is_told_with_its_version(registry: Registry) -> None:
    """And who says nothing asks about the root, which is no link's."""
    await registry.create("/a")
    answer = await registry.call("GET", f"{AT}?path=/a", token=READER)
    nothing = await registry.call("GET", AT, token=READER)
    wrong = await registry.call("GET", f"{AT}?path=a", token=READER)
    other = await registry.call("GET", f"{AT}?path=/a", token=EDGE)

    assert answer.headers["ETag"] == '"1"'
    assert [each.status for each in (nothing, wrong, other)] == [404, 400, 403]


def test_a_long_path_is_looked_for_in_so_many_places() -> None:
    """No pattern is longer than a path may be, so no visit makes the registry look further."""
    long = "/" * 4_096

    assert len(patterns_over(long)) == PATH_CHARS_MAX - 1
    assert max(map(len, patterns_over(long))) == PATH_CHARS_MAX


async def test_few_links_are_looked_at_however_many_there_are(registry: Registry) -> None:
    """Each place is looked up in the index of places; the links are not read through."""
    plan = await registry.store.readers.rows(f"EXPLAIN QUERY PLAN {MAY_ANSWER}", ("[]", "[]"))
    steps = [step for *_, step in plan]

    assert any("SEARCH link USING" in step and "host=? AND path=?" in step for step in steps)
    assert not any(step.startswith("SCAN link") for step in steps)
