"""Edges as processes tell the registry how far they are."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from milepost.client import Client
from milepost.config import Secret
from tests.edge.links_fleet import Fleet, fleet
from tests.edge.links_world import LINKS
from tests.log.kit import OPERATOR_TOKEN


async def positions(one: Fleet) -> dict[str, Any]:
    """Return what the registry tells of its edges."""
    url = f"http://127.0.0.1:{one.registry.private_port}"
    async with Client.connect(url, Secret(OPERATOR_TOKEN)) as client:
        told: dict[str, Any] = await client.get("/v1/feed/positions")
    return told


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_running_edge_reports(tmp_path: Path, workers: str) -> None:
    """In one process as well as with workers, where it stands, and again and again."""
    async with fleet(tmp_path, LINKS, workers=workers) as one:
        one.running.edge.start()
        one.running.edge.wait_live()
        heard: set[int] = set()
        told: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while len(heard) < 2:
                await asyncio.sleep(0.2)
                told = await positions(one)
                heard |= {each["heard_ms"] for each in told["machines"] if each["behind"] == 0}

    (edge,) = told["machines"]
    assert edge["place"] == told["newest"]
    assert (edge["region"], edge["machine"]) == ("dfw", "local")
