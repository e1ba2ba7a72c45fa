"""Every sum equals what plain counting says, whichever way it was come by."""

from pathlib import Path

import pytest

from aggregator.access.narrowing import Narrowing
from aggregator.rolling import store as rolling
from aggregator.rolling.tiers import HOUR_MS
from aggregator.stats import store as stats
from aggregator.stats.planning import WHOLE, from_rollups
from aggregator.stats.question import Question, read_question
from aggregator.stats.rolled import store as rolled
from aggregator.stats.store import find
from aggregator.stats.sums import Found
from milepost.errors import TooBroadError
from tests.aggregator.rolled_world import START_MS, Small
from tests.aggregator.stats_world import NARROWINGS, named, plain, random_question, wanted

ROWS_MAX = 1_000_000


def check(small: Small, question: Question, narrowing: Narrowing, found: Found) -> None:
    """Compare what was *found* with counting."""
    rows = list(wanted(small.rows, question, narrowing))
    told = plain(rows, question)
    groups = {
        group: counts for (bucket, group), counts in told.items() if bucket == WHOLE and group
    }
    ranked = sorted(
        groups,
        key=lambda each: (-groups[each][1], [(name is not None, name or 0) for name in each]),
    )
    kept, others = ranked[: question.limit], ranked[question.limit :]

    assert list(found.groups.values()) == kept
    assert found.rest == (
        len(others),
        sum(groups[each][0] for each in others),
        sum(groups[each][1] for each in others),
    )
    assert named(question, found) == {
        key: counts for key, counts in told.items() if any(counts) and key[1] in {(), *kept}
    }
    assert found.epochs == len({row.epoch for row in rows})
    assert found.since_ms is None


@pytest.mark.parametrize("seed", range(18))
def test_every_answer_is_exact(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of hits that are rolled up or not, changed or removed, in any zone, and of regulars."""
    monkeypatch.setattr(rolling, "REGULAR_CLICKS", 5)
    hours = (1, 12, 40)[seed % 3]
    small = Small(tmp_path, seed, hours)
    both = 0
    for _ in range(8):
        small.add_batch(small.random.randint(1, 30))
        if small.random.random() < 0.6:
            while rolling.roll_block(small.db, 12):
                pass
        if small.random.random() < 0.5:
            small.change()
        for _ in range(20):
            question = random_question(small.random, hours)
            narrowing = small.random.choice(NARROWINGS)
            found = find(small.db, question, narrowing, rows_max=ROWS_MAX)
            check(small, question, narrowing, found)
            assert found.rolled == (from_rollups(question, narrowing) is not None)
            if found.rolled:
                both += 1
                rows = stats.from_rows(small.db, question, narrowing, ROWS_MAX)
                assert replaced(question, rows) == replaced(question, found)
    assert both


def replaced(question: Question, found: Found) -> Found:
    """Return *found* without what tells the ways apart."""
    wanted = 3 if question.uniques else 2
    sums = {key: told[:wanted] for key, told in found.sums.items() if any(told)}
    return found._replace(rolled=True, sums=sums)


def test_what_is_ahead_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it nobody is told less than there is."""
    monkeypatch.setattr(rolled, "AHEAD_MAX", 5)
    small = Small(tmp_path, 1)
    small.add_batch(6)
    question = read_question({}, START_MS + HOUR_MS)

    with pytest.raises(TooBroadError, match="not rolled up yet"):
        find(small.db, question, rows_max=ROWS_MAX)


@pytest.mark.parametrize("group_by", ["link", "link,country"])
def test_a_row_finds_its_bucket_by_an_index(tmp_path: Path, group_by: str) -> None:
    """Else each row would be compared with each of thousands of hours."""
    small = Small(tmp_path, 1)
    small.add_batch(30)
    asked: list[str] = []
    told = {"interval": ["hour"], "group_by": [group_by], "end": [str(START_MS + 18 * HOUR_MS)]}
    small.db.set_trace_callback(asked.append)
    find(small.db, read_question(told, START_MS), rows_max=ROWS_MAX)
    small.db.set_trace_callback(None)
    plans = [
        " ".join(row[3] for row in small.db.execute(f"EXPLAIN QUERY PLAN {sql}"))
        for sql in asked
        if "CROSS JOIN slot" in sql
    ]

    assert plans
    assert all("SEARCH slot USING AUTOMATIC" in plan for plan in plans)
