"""A grant at the edge: its link stops at its end, whoever is down."""

import asyncio
from pathlib import Path

from milepost.vocabulary import Millis
from regional_logger.decide import Rules, decide
from tests.edge.links_world import Edge, edge
from tests.link_registry.grants_world import granted
from tests.link_registry.registry_world import DESTINATION, GRANTER, running_registry


def _status(one: Edge, path: str, now: int) -> int:
    rules = Rules(find_link=one.links.table.find)
    return decide("GET", path, "any.example", Millis(now), rules).status


async def _until_status(one: Edge, path: str, now: int, status: int) -> None:
    async with asyncio.timeout(10):
        while _status(one, path, now) != status:
            await one.find("any.example", path)
            await asyncio.sleep(0.005)


async def test_a_grant_ends_at_the_edge_without_the_registry(tmp_path: Path) -> None:
    """To the millisecond, also in an edge that started when the registry was down already."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        grant = await granted(registry)
        path, ends = str(grant["path"]), int(grant["ends_ms"])
        await _until_status(one, path, ends - 1, 302)
    async with edge(tmp_path, "http://127.0.0.1:9") as again:
        found = await again.find("any.example", path)
        before, after = _status(again, path, ends - 1), _status(again, path, ends)

    assert found is not None
    assert found.destination == DESTINATION
    assert (before, after) == (302, 410)


async def test_an_extended_grant_goes_on_and_an_ended_one_is_gone(tmp_path: Path) -> None:
    """Both are told over the feed at once."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        grant = await granted(registry)
        path, ends = str(grant["path"]), int(grant["ends_ms"])
        await _until_status(one, path, ends, 410)
        call = f"/v1/grants/{grant['id']}"
        await registry.call("POST", f"{call}/extend", {"minutes": 1}, token=GRANTER)
        await _until_status(one, path, ends, 302)
        await registry.call("POST", f"{call}/end", token=GRANTER)
        await _until_status(one, path, ends - 1, 404)
