"""Sums of hits of which some went by their age, or are taken for something else since."""

from pathlib import Path

import pytest

from aggregator.reclassifying import store as reclassifying
from aggregator.rolling import store as rolling
from aggregator.stats.store import find
from milepost.errors import TooBroadError
from tests.aggregator.rolled_world import AGENTS
from tests.aggregator.stats_world import NARROWINGS, random_question
from tests.aggregator.test_forgetting_laws import Forgetting
from tests.aggregator.test_stats_counting import ROWS_MAX, check


@pytest.mark.usefixtures("same_agents")
@pytest.mark.parametrize("seed", range(4))
def test_an_answer_counts_what_is_gone_or_is_refused(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never less than was there, by any filter, group, range and token."""
    monkeypatch.setattr(rolling, "REGULAR_CLICKS", 5)
    monkeypatch.setattr(reclassifying, "classify", lambda agent: AGENTS[agent or None])
    world = Forgetting(tmp_path, seed)
    small, answered = world.small, 0
    actions = [world.roll, world.roll, world.expire, world.expire]
    actions += [small.change, world.reclassify, world.sweep]
    for _ in range(16):
        world.add()
        world.add()
        world.random.choice(actions)()
        for _ in range(20):
            question = random_question(world.random, 1)
            narrowing = world.random.choice(NARROWINGS)
            try:
                found = find(small.db, question, narrowing, rows_max=ROWS_MAX)
            except TooBroadError:
                assert world.past
                continue
            answered += 1
            left, small.rows = small.rows, small.rows + world.past
            check(small, question, narrowing, found._replace(since_ms=None))
            small.rows = left
    assert answered > 100
