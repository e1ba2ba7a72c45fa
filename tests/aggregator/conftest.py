"""What the aggregator's tests share."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.aggregator.combined_world import World
from tests.aggregator.rolled_world import AGENTS


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return a key server, an empty combined database, and no edge yet."""
    async with AsyncExitStack() as stack:
        yield await World(tmp_path, stack).start()


@pytest.fixture
def same_agents() -> Iterator[None]:
    """Let agents be taken for something else, and then for what they were again."""
    before = dict(AGENTS)
    yield
    AGENTS.clear()
    AGENTS.update(before)
