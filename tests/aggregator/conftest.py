"""What the aggregator's tests share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.aggregator.combined_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return a key server, an empty combined database, and no edge yet."""
    async with AsyncExitStack() as stack:
        yield await World(tmp_path, stack).start()
