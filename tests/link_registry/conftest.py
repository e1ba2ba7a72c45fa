"""A running registry."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.link_registry.registry_world import Registry, running_registry


@pytest_asyncio.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    """Run a registry over an empty folder."""
    async with running_registry(tmp_path) as running:
        yield running
