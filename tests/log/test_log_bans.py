"""A whole edge with workers, and the lists of hosts that it is given."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from tests.log.kit import World, world

pytestmark = pytest.mark.slow

CONNECTIONS = 16  # the kernel deals them out, so that hardly any worker gets none


async def statuses(running: World, path: str) -> set[int]:
    """Return how *path* is answered, over connections of its own each."""
    found = set()
    for _ in range(CONNECTIONS):
        async with (
            aiohttp.ClientSession() as session,
            session.get(running.url + path, allow_redirects=False) as response,
        ):
            found.add(response.status)
    return found


async def until(running: World, path: str, wanted: int) -> None:
    """Return once every worker answers *path* so."""
    ends = time.monotonic() + 20
    while await statuses(running, path) != {wanted}:
        assert time.monotonic() < ends, running.edge.log.read_text()
        await asyncio.sleep(0.2)


def ban(path: Path, text: str) -> None:
    """Put another file in place of the one that is there."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


async def test_every_worker_goes_by_the_lists(tmp_path: Path) -> None:
    """From its first visit on, and within seconds of a change, without a restart."""
    bans = tmp_path / "bans.txt"
    ban(bans, "bad.example\n")
    with world(
        tmp_path,
        WORKERS="2",
        HOSTS="click.example",
        ALLOWED_TARGETS="*.example",
        BAN_FILE=str(bans),
        ROOT_URL="https://home.example/",
    ) as running:
        running.edge.start()
        running.edge.wait_live()
        await until(running, "/e/good.example/a", 302)
        assert await statuses(running, "/e/bad.example/a") == {400}
        assert await statuses(running, "/e/elsewhere.test/a") == {400}
        assert await statuses(running, "/e/click.example/e/good.example/a") == {302}
        assert await statuses(running, "/e/click.example/promo") == {400}
        assert await statuses(running, "/") == {302}

        ban(bans, "good.example\n")
        await until(running, "/e/good.example/a", 400)
        await until(running, "/e/bad.example/a", 302)
        bans.unlink()
        await asyncio.sleep(3)
        assert await statuses(running, "/e/good.example/a") == {400}
        assert running.edge.stop() == 0
