"""Searching hits: every page is what a plain comparison of every row says."""

import re
from itertools import islice
from pathlib import Path

import pytest

from aggregator.rolling.store import roll_block
from aggregator.searching import store
from aggregator.searching.question import Told
from milepost.errors import TooBroadError
from tests.aggregator.rolled_world import START_MS
from tests.aggregator.searched_world import Searched, choices, id_of, key_in

HOUR = 3_600_000


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks, slices and lists so small that few rows need many of them."""
    monkeypatch.setattr(store, "BLOCK_HITS", 4)
    monkeypatch.setattr(store, "RARE_BLOCKS", 5)
    monkeypatch.setattr(store, "SLICE_MIN", 3)
    monkeypatch.setattr(store, "SLICE_MAX", 7)


def a_world(folder: Path, seed: int) -> Searched:
    """Return a database of which about half is rolled up."""
    world = Searched(folder, seed)
    for _ in range(world.random.randint(20, 40)):
        world.add_batch(world.random.randint(1, 6))
    for _ in range(world.random.randint(5, 20)):
        roll_block(world.db, 5)
    return world


def a_question(world: Searched) -> dict[str, list[str]]:
    """Return something to ask."""
    told = dict(islice(choices(world), world.random.choice([0, 1, 1, 1, 2, 3])))
    if world.random.random() < 0.3:
        told["start"] = [str(START_MS + world.random.randint(0, 8) * HOUR)]
    if world.random.random() < 0.3:
        told["end"] = [str(START_MS + world.random.randint(6, 14) * HOUR)]
    told["order"] = [world.random.choice(["time", "arrival"])]
    told["direction"] = [world.random.choice(["asc", "desc"])]
    return {**told, "limit": [str(world.random.choice([1, 2, 3, 7, 50]))]}


def check_pages(world: Searched, told: Told) -> None:
    """Go forth and back through the pages while things happen, and judge each."""
    limit, key = int(told["limit"][0]), key_in(told)
    descending = told["direction"] == ["desc"]
    position, forth = None, True
    cursor: dict[str, list[str]] = {}
    for _ in range(40):
        answer = world.page({**told, **cursor})
        rows = world.expected(told)
        if position is not None:
            rows = [row for row in rows if ((key(row) > position) != descending) == forth]
            rows = [row for row in rows if key(row) != position]
        expected = rows[:limit] if forth else rows[-limit:]
        assert answer["hits"] == [id_of(row) for row in expected], (told, cursor)
        if forth:
            assert (answer["next"] is not None) == (len(rows) > limit)
        else:
            assert (answer["previous"] is not None) == (len(rows) > limit)
        forth = world.random.random() < 0.7
        name = "next" if forth else "previous"
        if answer[name] is None or not expected:
            return
        position = key(expected[-1 if forth else 0])
        cursor = {"cursor": [answer[name]]}
        for _ in range(world.random.choice([0, 0, 1, 3])):
            world.change()


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))]
)
@pytest.mark.usefixtures("small_steps")
def test_pages_tell_what_is_there(tmp_path: Path, seed: int) -> None:
    """In both orders and directions, forth and back, while hits come, go and are rolled up."""
    world = a_world(tmp_path, seed)
    for _ in range(40):
        check_pages(world, a_question(world))


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.usefixtures("small_steps")
def test_whoever_follows_misses_nothing(tmp_path: Path, direction: str) -> None:
    """Every row that becomes visible is told once, however late its own time is."""
    world = a_world(tmp_path, 5)
    told = {"order": ["arrival"], "direction": [direction], "limit": ["5"], "country": ["DE"]}
    seen: list[str] = []
    answer = world.page(told)
    old = {id_of(row) for row in world.expected(told)} if direction == "desc" else set()
    if direction == "asc":
        seen += answer["hits"]
    for _ in range(60):
        world.add_batch(2)
        if world.random.random() < 0.4:
            roll_block(world.db, 5)
        answer = world.page({**told, "cursor": [answer["newer"]]})
        seen += answer["hits"] if direction == "asc" else answer["hits"][::-1]
    while answer["hits"]:
        answer = world.page({**told, "cursor": [answer["newer"]]})
        seen += answer["hits"] if direction == "asc" else answer["hits"][::-1]

    rows = world.expected({**told, "direction": ["asc"]})
    assert seen == [id_of(row) for row in rows if id_of(row) not in old]


def test_an_empty_page_leads_back(tmp_path: Path) -> None:
    """Who has gone beyond the last row, because it has gone, comes back to what is left."""
    world = a_world(tmp_path, 2)
    told = {"order": ["time"], "direction": ["desc"], "limit": ["3"]}
    first = world.page(told)
    rows = world.expected(told)
    last = [id_of(row) for row in rows[:3]]
    beyond = "DELETE FROM hit WHERE (time_ms, batch, idx) < (?, ?, ?)"
    world.db.execute(beyond, key_in(told)(rows[2]))
    empty = world.page({**told, "cursor": [first["next"]]})

    assert (empty["hits"], empty["next"]) == ([], None)
    assert world.page({**told, "cursor": [empty["previous"]]})["hits"] == last


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("order", ["time", "arrival"])
def test_a_budget_ends_a_question(tmp_path: Path, order: str) -> None:
    """What was found by then is told, and leads on exactly; nothing found is a refusal."""
    world = Searched(tmp_path, 3)
    for _ in range(30):
        world.add_batch(4)
    world.straighten()
    while roll_block(world.db, 5):
        pass
    told = {"country": ["DE", "US"], "order": [order], "limit": ["1000"]}
    found: list[str] = []
    cursor: dict[str, list[str]] = {}
    for _ in range(1_000):
        answer = world.page({**told, **cursor}, rows=40)
        found += answer["hits"]
        if answer["next"] is None:
            break
        cursor = {"cursor": [answer["next"]]}

    assert cursor
    assert found == [id_of(row) for row in world.expected(told)]
    with pytest.raises(TooBroadError, match="narrow start and end"):
        world.page({"link": ["!", "!one", "!two"], "order": [order]}, rows=40)


@pytest.mark.parametrize("order", ["time", "arrival"])
def test_blocks_that_have_several_of_the_values(
    tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block counts once towards those that are listed, however many of the values it has."""
    monkeypatch.setattr(store, "RARE_BLOCKS", 5)
    world = Searched(tmp_path, 3)
    world.db.executemany("INSERT INTO text VALUES (?, ?)", [(1_000, "/first"), (1_001, "/second")])
    batches = []
    for number in range(6):
        world.add_batch(4)
        batches.append(world.batches)
        for idx, last in ((0, 3), (1, 4)):
            if number <= last:
                path = (1_000 + idx, world.batches, idx)
                world.db.execute("UPDATE hit SET path = ? WHERE batch = ? AND idx = ?", path)
        assert roll_block(world.db, 4) == 4

    answer = world.page({"path": ["/first", "/second"], "order": [order], "direction": ["asc"]})

    firsts = [f"{batch.to_bytes(16).hex()}:0" for batch in batches[:4]]
    seconds = [f"{batch.to_bytes(16).hex()}:1" for batch in batches[:5]]
    assert sorted(answer["hits"]) == sorted(firsts + seconds)


QUESTIONS: list[dict[str, list[str]]] = [
    {},
    {"country": ["DE"]},
    {"country": ["!DE"]},
    {"country": [""]},
    {"country": ["DE"], "link": ["one"], "status": ["302"]},
    {"class": ["human"]},
    {"bots": ["only"]},
    {"session": ["s1", "s2"]},
    {"ulid": ["u1"]},
    {"visitor": ["00" * 16]},
    {"url": ["h.example/*"]},
    {"target": ["!https*"]},
    {"start": ["-1h"], "device": ["mobile"]},
]


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("order", ["time", "arrival"])
@pytest.mark.parametrize("told", QUESTIONS, ids=str)
def test_no_question_reads_all_hits(
    tmp_path: Path, told: dict[str, list[str]], order: str, direction: str
) -> None:
    """Each statement goes through an index to a part of the hits, or walks one that is bounded."""
    world = a_world(tmp_path, 4)
    run: list[str] = []
    asked = {**told, "order": [order], "direction": [direction], "limit": ["3"]}
    world.db.set_trace_callback(run.append)
    first = world.page(asked)
    if first["next"]:
        world.page({**asked, "cursor": [first["next"]]})
    world.db.set_trace_callback(None)
    plans = {
        sql: [row[3] for row in world.db.execute(f"EXPLAIN QUERY PLAN {sql}")]
        for sql in run
        if sql.lstrip().startswith(("SELECT", "WITH"))
    }

    assert plans
    for sql, plan in plans.items():
        for line in plan:
            bounded = "LIMIT" in sql and "INDEX" in line and "max" not in sql
            assert not re.match(r"SCAN (hit|text|posting|applied)\b", line) or bounded, (sql, plan)
