"""Edges as processes tell the registry how far they are."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest

from tests.edge.links_fleet import Fleet, fleet
from tests.edge.links_world import LINKS

TOLD = re.compile(r'milepost_http_requests_total\{method="POST",status="204"\} ([0-9.e+]+)')


async def _reports(one: Fleet) -> float:
    url = f"http://127.0.0.1:{one.registry.private_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        found = TOLD.search(await answer.text())
    return float(found[1]) if found else 0.0


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_running_edge_reports(tmp_path: Path, workers: str) -> None:
    """In one process as well as with workers, and again and again."""
    async with fleet(tmp_path, LINKS, workers=workers) as one:
        one.running.edge.start()
        one.running.edge.wait_live()
        async with asyncio.timeout(30):
            while await _reports(one) < 2:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.2)
