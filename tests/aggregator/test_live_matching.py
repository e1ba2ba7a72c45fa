"""A hit meets filters in memory exactly when it meets them in the database."""

from itertools import islice
from pathlib import Path

import pytest

from aggregator.access.narrowing import Narrowing
from aggregator.asking.budget import Budget
from aggregator.asking.filters import Filter, read_filters
from aggregator.fencing.store import take
from aggregator.live.matching import Matcher
from aggregator.live.pieces import BATCH_END, Bookmark, piece_after
from aggregator.rolling.store import roll_block
from milepost.sqlite import Connection
from milepost.vocabulary import Generation
from tests.aggregator.searched_world import ENOUGH, Searched, choices

NARROWINGS = (
    Narrowing(),
    Narrowing(hosts=frozenset({"h.example"})),
    Narrowing(links=frozenset({"one", "two"})),
    Narrowing(hosts=frozenset(), links=frozenset()),
)


def a_budget() -> Budget:
    """Return one that is never spent."""
    return Budget(rows=ENOUGH, until=1.0, seconds=lambda: 0.0)


def a_database(folder: Path, seed: int) -> Searched:
    """Return a database of which a part is rolled up."""
    world = Searched(folder, seed)
    take(world.db, Generation(7), b"holder")
    for _ in range(60):
        world.add_batch(world.random.randint(1, 6))
    for _ in range(3):
        roll_block(world.db, 20)
    return world


def everything(
    db: Connection, filters: tuple[Filter, ...], narrowing: Narrowing
) -> list[tuple[Bookmark, str]]:
    """Return bookmarks and ids of all that arrived and meets *filters*."""
    bookmark, found = Bookmark(0, -1), []
    while True:
        piece = piece_after(db, bookmark, a_budget(), filters, narrowing)
        found += [(each.bookmark, each.hit["id"]) for each in piece.arrivals]
        bookmark = piece.end
        if not piece.more:
            assert bookmark.idx == BATCH_END
            return found


@pytest.mark.parametrize("seed", range(3))
def test_memory_and_database_agree(tmp_path: Path, seed: int) -> None:
    """Over every field, alternatives, beginnings, exceptions, and restrictions of a token."""
    world = a_database(tmp_path, seed)
    arrivals = piece_after(world.db, Bookmark(0, -1), a_budget())
    for _ in range(150):
        filters = read_filters(dict(islice(choices(world), world.random.choice([1, 1, 2, 3]))))
        narrowing = world.random.choice(NARROWINGS)
        matcher = Matcher(filters, narrowing)
        mine = [each.hit["id"] for each in arrivals.arrivals if matcher.takes(each.hit)]
        theirs = [hit_id for _, hit_id in everything(world.db, filters, narrowing)]
        assert mine == theirs, (filters, narrowing)
