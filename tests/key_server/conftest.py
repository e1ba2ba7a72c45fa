"""What the key server's tests share."""

from pathlib import Path

import pytest

from tests.key_server.key_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a folder, a clock and a master key, and no key server yet."""
    return World(tmp_path)
