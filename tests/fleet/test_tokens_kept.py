"""Tokens made with the command, on a platform as people run it."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from milepost.fleet import Fleet, read_fleet
from tests.fleet.kit import platform
from tests.fleet.test_clicks_counted import command

pytestmark = pytest.mark.slow


async def get(url: str, token: str, **params: str) -> tuple[int, Any]:
    """Return status and JSON of one call."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers=headers, params=params) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def click(fleet: Fleet, *paths: str) -> None:
    """Visit each of *paths*."""
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(fleet.regions[0].url + path, allow_redirects=False) as answer:
                assert answer.status == 302


async def seen(fleet: Fleet, token: str, clicks: int) -> list[str]:
    """Return the paths of the hits that *token* sees, once there are so many *clicks*."""
    told: Any = None
    for _ in range(100):
        _, whole = await get(f"{fleet.aggregator.url}/v1/hits", fleet.tokens["read"])
        status, told = await get(f"{fleet.aggregator.url}/v1/hits", token)
        assert status == 200, told
        if len(whole["hits"]) >= clicks:
            break
        await asyncio.sleep(0.1)
    return sorted(hit["path"] for hit in told["hits"])


async def test_a_token_sees_the_hits_of_its_tags_until_it_is_revoked(tmp_path: Path) -> None:
    """From the command through registry and aggregator, across a restart, and back."""
    data = tmp_path / "fleet"
    with platform(data, "--regions", "dfw") as running:
        fleet = running.wait_ready()
        for path, tag in (("/spring", "spring"), ("/autumn", "autumn")):
            command(data, "links", "create", path, "https://example.com/", "--tag", tag)
        wish = ("report", "--scope", "hits:read", "--tag", "spring")
        token = command(data, "tokens", "create", *wish).strip()
        await asyncio.sleep(2)
        await click(fleet, "/spring", "/autumn", "/spring")

        assert await seen(fleet, token, 3) == ["/spring", "/spring"]
        assert (await get(f"{fleet.aggregator.url}/v1/sources", token))[0] == 403
        assert (await get(f"{fleet.link_registry.url}/v1/links", token))[0] == 401

    with platform(data, "--regions", "dfw") as running:
        running.wait_ready()
        fleet = read_fleet(data / "fleet.json")
        assert await seen(fleet, token, 3) == ["/spring", "/spring"]
        listed = command(data, "tokens", "list", "--json").splitlines()
        assert [orjson.loads(line)["name"] for line in listed] == ["report"]
        command(data, "tokens", "revoke", "report")
        assert (await get(f"{fleet.aggregator.url}/v1/hits", token))[0] == 401
