"""A click limit on the whole platform: a link ends everywhere soon after its last click."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import orjson
import pytest

from milepost.fleet import Fleet
from tests.fleet.kit import all_hits, platform, visitors
from tests.fleet.test_clicks_counted import command, pids_of

pytestmark = pytest.mark.slow

LIMIT = 20
ROUND_SECONDS = 2.0  # aggregator.limits.counting.EVERY_SECONDS
ON_THE_WAY_SECONDS = 3.0  # from an edge to the hits, and over the feed back to the edges


async def visit(fleet: Fleet, region: int, path: str, method: str = "GET") -> int:
    """Make one visit; return the status, 0 when nobody answered."""
    try:
        async with (
            visitors() as session,
            session.request(
                method, fleet.regions[region].url + path, allow_redirects=False
            ) as response,
        ):
            return response.status
    except aiohttp.ClientError:
        return 0


async def until_all(fleet: Fleet, path: str, status: int, *, seconds: float) -> float:
    """Preview *path* until every region answers *status*; return how long it took."""
    began, answers = time.monotonic(), [0]
    while time.monotonic() - began < seconds:
        answers = [await visit(fleet, n, path, "HEAD") for n in range(len(fleet.regions))]
        if set(answers) == {status}:
            return time.monotonic() - began
        await asyncio.sleep(0.05)
    msg = f"{path}: {answers} after {seconds} seconds"
    raise AssertionError(msg)


def link_of(data: Path, link_id: str) -> dict[str, object]:
    """Return a link as `milepost links get` shows it."""
    told = orjson.loads(command(data, "links", "get", link_id, "--json"))
    found: dict[str, object] = told[0] if isinstance(told, list) else told
    return found


async def test_a_link_ends_everywhere_within_a_round_of_its_last_click(tmp_path: Path) -> None:
    """HEAD costs nothing; the aggregator may be killed on the way, and counts exactly."""
    data = tmp_path / "fleet"
    with platform(data, "--regions", "dfw,cdg") as running:
        fleet = running.wait_ready()
        made = orjson.loads(
            command(
                *(data, "links", "create", "/few", "https://example.com/few"),
                *("--click-limit", str(LIMIT), "--json"),
            )
        )
        link_id = (made[0] if isinstance(made, list) else made)["id"]
        await until_all(fleet, "/few", 302, seconds=10)
        early = [await visit(fleet, n % 2, "/few") for n in range(LIMIT - 1)]
        os.kill(pids_of(running)["aggregator"], signal.SIGKILL)
        ends = time.monotonic() + 30
        while link_of(data, link_id)["clicks"] != LIMIT - 1:
            assert time.monotonic() < ends, (link_of(data, link_id), running.logs())
            await asyncio.sleep(0.2)
        before = link_of(data, link_id)["enabled"]
        last = await visit(fleet, 0, "/few")
        took = await until_all(fleet, "/few", 404, seconds=20)
        hits = await all_hits(running.fleet)
        now = link_of(data, link_id)

    assert early == [302] * (LIMIT - 1)
    assert (before, last) == (True, 302)
    assert took < ROUND_SECONDS + ON_THE_WAY_SECONDS
    assert (now["enabled"], now["clicks"]) == (False, LIMIT)
    counted = [hit for hit in hits if hit.get("link") == link_id and hit["method"] == "GET"]
    assert len(counted) == LIMIT


async def test_what_is_too_much_is_one_round(tmp_path: Path) -> None:
    """Clicks that never pause end too, and those over the limit all came in a round's time."""
    data = tmp_path / "fleet"
    with platform(data, "--regions", "dfw,cdg") as running:
        fleet = running.wait_ready()
        command(data, "links", "create", "/many", "https://e.example/", "--click-limit", str(LIMIT))
        await until_all(fleet, "/many", 302, seconds=10)
        moments = []
        for n in range(2_000):
            if await visit(fleet, n % 2, "/many") != 302:
                break
            moments.append(time.monotonic())
            await asyncio.sleep(0.02)

    assert LIMIT <= len(moments) < 2_000
    assert moments[-1] - moments[LIMIT - 1] < ROUND_SECONDS + ON_THE_WAY_SECONDS
