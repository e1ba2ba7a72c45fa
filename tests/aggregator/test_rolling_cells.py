"""Rollups count what the rows say, whatever has happened to these."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.rolling import store
from aggregator.rolling.fields import DIMENSIONS, FIELD_NUMBERS, MISSING
from aggregator.rolling.tiers import (
    EVERY_EPOCH,
    HOUR_MS,
    TIERS,
    TOGETHER,
    Stretch,
    balance,
    bucket_of,
    cover,
    hour_of,
)
from tests.aggregator.rolled_world import AGENTS, START_MS, Row, Small, dimension_of

HUMAN = "human"


def expected(small: Small, rows: list[Row]) -> dict[Any, list[int]]:
    """Count *rows* the plain way: by dimension, tier, bucket, value and epoch."""
    cells: dict[Any, list[int]] = defaultdict(lambda: [0] * 10)
    hours: dict[Any, list[tuple[int, bool]]] = defaultdict(list)
    for row in rows:
        human = AGENTS[row.agent][0] == HUMAN
        for number, name in enumerate(DIMENSIONS):
            told = None if name == "total" else dimension_of(row, name)
            value = told if isinstance(told, int) else small.text(told) or 0
            for tier in range(len(TIERS)):
                cell = cells[number, tier, bucket_of(tier, row.time_ms), value, of(tier, row.epoch)]
                cell[0 if human else 4] += 1
                cell[1 if human else 5] += row.click
            if row.click and row.visitor is not None:
                hours[number, value, row.epoch, row.visitor].append((hour_of(row.time_ms), human))
    for (number, value, epoch, _), clicks in hours.items():
        people = [hour for hour, human in clicks if human]
        bots = [hour for hour, human in clicks if not human]
        for column, chosen in ((2, people), (6, bots), (8, people + bots)):
            for tier in range(len(TIERS)) if chosen else ():
                for at, hour in ((column, min(chosen)), (column + 1, max(chosen))):
                    cells[number, tier, bucket_of(tier, hour), value, of(tier, epoch)][at] += 1
    return dict(cells)


def of(tier: int, epoch: int) -> int:
    """Return the epoch of a cell: the largest buckets do not tell them apart."""
    return EVERY_EPOCH if tier == TOGETHER else epoch


def stored(small: Small) -> dict[Any, list[int]]:
    """Return what the rollups say."""
    return {tuple(row[:5]): list(row[5:]) for row in small.db.execute("SELECT * FROM rollup")}


@pytest.mark.parametrize("seed", range(12))
def test_rollups_say_what_the_rows_say(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of hits that were changed or removed after they were rolled, and of regulars."""
    monkeypatch.setattr(store, "REGULAR_CLICKS", 5)
    small = Small(tmp_path, seed)
    for _ in range(12):
        small.add_batch(small.random.randint(1, 9))
        if small.random.random() < 0.7:
            while store.roll_block(small.db, 12):
                pass
        if small.random.random() < 0.5:
            small.change()
        assert stored(small) == expected(small, small.rolled())


def test_postings_name_every_block_that_has_a_value(tmp_path: Path) -> None:
    """And blocks know the times of their hits, and follow one another without a gap."""
    small = Small(tmp_path, 1)
    for _ in range(30):
        small.add_batch(5)
    while store.roll_block(small.db, 20):
        pass

    blocks = small.db.execute("SELECT * FROM block ORDER BY id").fetchall()
    assert len(blocks) > 3
    assert [block[1] for block in blocks] == [1, *(block[2] + 1 for block in blocks[:-1])]
    for number, first, last, first_ms, last_ms in blocks:
        rows = [row for row in small.rows if first <= row.batch <= last]
        times = [row.time_ms for row in rows]
        assert (first_ms, last_ms) == (min(times), max(times))
        named = small.db.execute(
            "SELECT field, value FROM posting WHERE span = 0 AND block = ?", (number,)
        ).fetchall()
        for name in ("country", "browser", "referrer", "path"):
            wanted = {row.texts.get(name, dimension_of(row, name)) for row in rows}
            found = {value for field, value in named if field == FIELD_NUMBERS[name]}
            assert {None if each == MISSING else small.named(each) for each in found} == wanted


@pytest.mark.parametrize("seed", range(3))
def test_first_and_last_clicks_tell_visitors_of_any_range(tmp_path: Path, seed: int) -> None:
    """From some moment of an epoch on, and up to one."""
    small = Small(tmp_path, seed)
    for _ in range(20):
        small.add_batch(6)
    while store.roll_block(small.db, 10):
        pass
    for number, name, value in small.values():
        told = value if name in {"total", "status"} else small.named(value) if value else None
        for moment in range(START_MS, START_MS + 14 * HOUR_MS, HOUR_MS):
            firsts, lasts = small.db.execute(
                """
                SELECT sum(CASE WHEN bucket_ms < ?1 THEN human_firsts END),
                       sum(CASE WHEN bucket_ms >= ?1 THEN human_lasts END)
                  FROM rollup WHERE dimension = ? AND tier = 0 AND value = ? AND epoch = 1
                """,
                (moment, number, value),
            ).fetchone()
            clicks = [
                row
                for row in small.rolled()
                if row.click and row.epoch == 1 and AGENTS[row.agent][0] == HUMAN
                if name == "total" or dimension_of(row, name) == told
            ]
            early = {row.visitor for row in clicks if row.time_ms < moment} - {None}
            late = {row.visitor for row in clicks if row.time_ms >= moment} - {None}
            assert (firsts or 0, lasts or 0) == (len(early), len(late))


def test_a_range_is_covered_once() -> None:
    """By few buckets, each of them whole."""
    start, end = START_MS + 5 * HOUR_MS, START_MS + 41 * 24 * HOUR_MS + 3 * HOUR_MS

    stretches = list(cover(start, end))

    assert Counter(each.tier for each in stretches) == {0: 2, 1: 2, 2: 1}
    assert stretches[0].start_ms == start
    assert stretches[-1].end_ms == end
    for one, following in pairwise(stretches):
        assert one.end_ms == following.start_ms
    assert all(each.start_ms % TIERS[each.tier] == 0 for each in stretches)
    assert list(cover(start, start)) == []
    assert [tuple(each) for each in cover(start, start + HOUR_MS)] == [
        (0, start, start + HOUR_MS, 1)
    ]


@given(st.integers(0, 2_000), st.integers(0, 2_000))
def test_a_balance_is_the_range(start: int, end: int) -> None:
    """Each hour of it once, no other, and never more buckets than it takes to cover it."""
    range_ms = (START_MS + start * HOUR_MS, START_MS + end * HOUR_MS)
    counted: Counter[int] = Counter()
    for tier, start_ms, end_ms, sign in (found := list(balance(*range_ms))):
        assert start_ms % TIERS[tier] == end_ms % TIERS[tier] == 0
        counted.update(dict.fromkeys(range(start_ms, end_ms, HOUR_MS), sign))

    assert {hour for hour, times in counted.items() if times} == {*range(*range_ms, HOUR_MS)}
    assert set(counted.values()) <= {0, 1}

    def buckets(stretches: Iterable[Stretch]) -> int:
        return sum((each.end_ms - each.start_ms) // TIERS[each.tier] for each in stretches)

    assert buckets(found) <= buckets(cover(*range_ms))
