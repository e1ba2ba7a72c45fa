"""What the key server's tests share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from key_server.destruction.guard import Asker
from milepost.client import Client, new_session
from milepost.config import Secret
from tests.key_server.destruction_world import Aggregator
from tests.key_server.key_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a folder, a clock and a master key, and no key server yet."""
    return World(tmp_path)


@pytest.fixture
async def aggregator(world: World) -> AsyncIterator[Aggregator]:
    """Return an aggregator that *world*'s key server asks."""
    told = Aggregator(world)
    app = web.Application()
    app.router.add_get("/v1/drained", told.answer)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    async with new_session() as session:
        client = Client(session, f"http://127.0.0.1:{server.port}", Secret("t"))
        world.asker = Asker(client, world.limits, world.clock, lambda: world.clock.counter)
        yield told
    await server.close()
