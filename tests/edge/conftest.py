"""Edges for the tests beside this file."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from milepost.links import FeedPlace
from milepost.vocabulary import Position
from regional_logger.links.store import ReplicaStore
from tests.edge.kit import Edge
from tests.edge.links_world import HISTORY, LINKS


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


@pytest.fixture
async def edge(make_edge: Callable[..., Edge]) -> Edge:
    """Return a running edge that has its keys."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    return edge


@pytest.fixture
async def lockable(tmp_path: Path) -> Path:
    """Write a replica that nobody has open."""
    store = ReplicaStore.open(tmp_path / "links.db")
    await store.arrive(LINKS, first=True)
    await store.take_arrived(FeedPlace(HISTORY, Position(1)))
    await store.close()
    return tmp_path / "links.db"
