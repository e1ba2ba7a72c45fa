"""What is forgotten is in no row; what was erased is in no sum, and what grew old still is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.forgetting.ages import store as ages
from aggregator.forgetting.rules import HOST, LINK, VISITOR, Rule, Target
from aggregator.forgetting.store import carry_out, put_rules
from aggregator.forgetting.texts.store import sweep
from aggregator.reclassifying import store as reclassifying
from aggregator.rolling import store as rolling
from aggregator.rolling.fields import DIMENSION_NUMBERS
from aggregator.rolling.tiers import HOUR_MS
from milepost.vocabulary import Millis
from tests.aggregator.rolled_world import AGENTS, START_MS, Row, Small
from tests.aggregator.test_rolling_cells import expected, stored

WORDS = (
    ("human", "desktop", "Linux", "Firefox"),
    ("human", "mobile", "iOS", "Safari"),
    ("human", "desktop", "Linux", "Chrome"),
    ("bot", None, None, "Firefox"),
    ("scanner", None, None, None),
    ("library", None, None, None),
)
ROWS = "SELECT batch, idx FROM hit ORDER BY batch, idx"
NEVER_CLOSED = 0  # what is kept of visitors stays: hits may come late


class Forgetting:
    """A small database in which hits are erased, and go by their age."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.small = Small(folder, seed)
        self.random = self.small.random
        self.past: list[Row] = []  # counted, and gone
        self.erased: list[Target] = []
        self.small.db.execute(
            "INSERT INTO applied VALUES (1, zeroblob(16), x'', 1, 1, x'', 0, 0, 0, '')"
        )

    def add(self) -> None:
        """Add hits; what a rule names is never let in."""
        small = self.small
        small.add_batch(self.random.randint(1, 9))
        small.db.execute("UPDATE applied SET id = ?", (small.batches,))
        new = [row for row in small.rows if row.batch == small.batches]
        for row in new:
            if any(names(each, row) for each in self.erased):
                small.db.execute(
                    "DELETE FROM hit WHERE batch = ? AND idx = ?", (row.batch, row.idx)
                )
                small.rows.remove(row)

    def roll(self) -> None:
        """Roll up all that fills blocks."""
        while rolling.roll_block(self.small.db, 12):
            pass

    def erase(self) -> None:
        """Make a rule, and carry it out piece by piece, with something else between."""
        target = self.random.choice(
            [
                Target(kind=LINK, value=b"one"),
                Target(kind=HOST, value=b"i.example"),
                *(Target(kind=VISITOR, value=bytes([e, n]) * 8) for e in range(3) for n in (0, 1)),
            ]
        )
        put_rules(self.small.db, [Rule(target=target, at_ms=Millis(0), who="me")])
        self.erased.append(target)
        for _ in range(1_000):
            if not carry_out(self.small.db, Millis(1), counts=False).more:
                break
            if self.random.random() < 0.2:
                self.add()
            if self.random.random() < 0.2:
                self.roll()
        else:
            pytest.fail("it does not come to an end")
        self.small.rows = [row for row in self.small.rows if not names(target, row)]

    def expire(self) -> None:
        """Remove what is older than some moment, of one kind."""
        kind = self.random.choice(["link", "prefix"])
        horizon_ms = START_MS + self.random.randint(0, 14) * HOUR_MS
        cursor: int | None = ages.BEGINNING
        while cursor is not None:
            _, cursor = ages.expire(
                self.small.db, kind, horizon_ms, cursor, closed_ms=NEVER_CLOSED, counts=False
            )
        gone = [
            row
            for row in self.small.rolled()
            if row.texts["kind"] == kind and row.time_ms < horizon_ms
        ]
        self.past += gone
        self.small.rows = [row for row in self.small.rows if row not in gone]

    def reclassify(self) -> None:
        """Take an agent for something else from now on; what is gone stays what it was."""
        agent, words = self.random.choice([*AGENTS]), self.random.choice([*WORDS])
        before = f"{agent} of turn {len(AGENTS)}"
        AGENTS[before], AGENTS[agent] = AGENTS[agent], words
        self.past = [replace(row, agent=before) if row.agent == agent else row for row in self.past]
        self.small.forget([])  # what is new is described, and its words are known
        self.small.db.execute("UPDATE agent_class SET version = 0")
        while reclassifying.reclassify(self.small.db).left:
            pass

    def sweep(self) -> None:
        """Remove the texts that nothing has."""
        while True:
            gone, more = sweep(self.small.db)
            self.small.forget(gone)
            if not more:
                break


def names(target: Target, row: Row) -> bool:
    """Tell whether a rule about *target* names *row*."""
    if target.kind == VISITOR:
        return row.visitor == target.value
    return row.texts.get(target.kind) == target.told


@pytest.mark.usefixtures("same_agents")
@pytest.mark.parametrize("seed", range(16))
def test_sums_count_what_was_not_erased(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order of arriving, rolling, erasing, changing and growing old; also of regulars."""
    monkeypatch.setattr(rolling, "REGULAR_CLICKS", 5)
    monkeypatch.setattr("aggregator.forgetting.store.PIECE_HITS", 3)
    monkeypatch.setattr(ages, "PIECE_HITS", 3)
    monkeypatch.setattr(reclassifying, "classify", lambda agent: AGENTS[agent or None])
    world = Forgetting(tmp_path, seed)
    actions: list[Callable[[], None]] = [
        *(world.add, world.add, world.roll, world.expire, world.sweep, world.small.change),
        world.reclassify,
    ]
    for turn in range(40):
        world.random.choice(actions)()
        if turn in {15, 30}:
            world.erase()
        assert world.small.db.execute(ROWS).fetchall() == sorted(
            (row.batch, row.idx) for row in world.small.rows
        )
        check_sums(world)


@pytest.mark.usefixtures("same_agents")
@pytest.mark.parametrize("seed", range(3))
def test_agents_change_of_visitors_who_are_half_gone(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of regulars whose older clicks are gone, what does not change is kept as it is."""
    monkeypatch.setattr(rolling, "REGULAR_CLICKS", 5)
    monkeypatch.setattr(reclassifying, "classify", lambda agent: AGENTS[agent or None])
    world = Forgetting(tmp_path, seed)
    for _ in range(10):
        for _ in range(3):
            world.add()
        world.roll()
        check_sums(world)
        world.expire()
        world.reclassify()
        check_sums(world)


def check_sums(world: Forgetting) -> None:
    """Compare the rollups with plain counting."""
    small, erased = world.small, world.erased
    dropped = {
        (DIMENSION_NUMBERS[each.kind], small.text(each.told))
        for each in erased
        if each.kind != VISITOR
    }
    assert stored(small) == {
        (number, tier, at_ms, value, epoch): row
        for (number, tier, at_ms, value, epoch), row in expected(
            small, small.rolled() + world.past
        ).items()
        if (number, value) not in dropped
    }
