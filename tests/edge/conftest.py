"""Edges for the tests beside this file."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.edge.kit import Edge


@pytest.fixture
async def make_edge(tmp_path: Path) -> AsyncIterator[Callable[..., Edge]]:
    """Make edges on one folder; those still running are stopped at the end."""
    made: list[Edge] = []

    def make(*, budget_seconds: float = 30.0, **limits: int) -> Edge:
        made.append(Edge(tmp_path, budget_seconds=budget_seconds, **limits))
        return made[-1]

    yield make
    for edge in made:
        await edge.stop()
