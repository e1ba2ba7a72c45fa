"""The bench of asking, on a database so small that it only shows that the bench still runs."""

import asyncio
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from bench.bench_asking import aggregator_on, options, run
from bench.generating.combined import database_of
from bench.generating.hits import BATCH_MAX, DAY_MS, DAYS, HOUR_MS, Arrival, Crowd
from bench.generating.places import LATE_REGION, ZONES
from milepost.vocabulary import Epoch, Millis, VisitorHash
from tests.log.combined import ask

pytestmark = pytest.mark.slow

HITS = 20_000
END = Millis(1_790_000_000_000)


def made(seed: int = 1) -> list[Arrival]:
    """Return what comes."""
    return list(Crowd(HITS, seed).arrivals(HITS, END))


def digest(arrivals: list[Arrival]) -> str:
    """Tell whether two are the same."""
    return blake2b(repr(arrivals).encode()).hexdigest()


def test_a_seed_always_makes_the_same_hits() -> None:
    """Two benches of one seed measure the same, and of another seed something else."""
    assert digest(made()) == digest(made()) != digest(made(seed=2))


def test_generated_hits_are_like_those_of_edges() -> None:
    """Thirty days, small batches of one epoch each, and hashes that are good for one epoch."""
    arrivals = made()
    records = [each for arrival in arrivals for each in arrival.records]
    assert len(records) == HITS
    assert max(len(each.records) for each in arrivals) <= BATCH_MAX
    last = END - END % HOUR_MS
    assert all(last - DAYS * DAY_MS <= each.time < last for each in records)
    assert {each.region for each in records} == {zone.region for zone in ZONES}
    assert {each.kind for each in records} == {"link", "prefix", "orphan"}
    assert {302, 301, 307, 308, 404, 410} == {each.status for each in records}
    assert all(each.visitor is None and each.country is None for each in records if each.opt_out)
    seen: dict[VisitorHash, Epoch] = {}
    for arrival in arrivals:
        for each in arrival.records:
            assert each.time // DAY_MS == arrival.epoch
            if each.visitor:
                assert seen.setdefault(each.visitor, arrival.epoch) == arrival.epoch


def test_batches_come_late_and_one_region_by_a_day() -> None:
    """No batch comes before its records, and what comes is not in the order of time."""
    arrivals = made()
    assert all(each.arrived >= each.records[-1].time for each in arrivals)
    lags = {
        late: [
            each.arrived - each.records[-1].time
            for each in arrivals
            if (each.region == LATE_REGION) == late
        ]
        for late in (False, True)
    }
    assert max(lags[False]) < DAY_MS <= min(lags[True])
    assert len(arrivals) > len({each.region for each in arrivals})


def test_a_made_database_is_counted_exactly_once(tmp_path: Path) -> None:
    """What is written through the store adds up, for every region and hour."""
    database = tmp_path / "made.db"
    found = database_of(database, hits=HITS, end=END, seed=1, tell=lambda _: None)
    assert found.hits == HITS
    with aggregator_on(database, tmp_path) as service:
        told: Any = asyncio.run(ask(service, "/v1/reconciliation?start=0&limit=10000"))
    sums: Counter[str] = Counter()
    for row in told["hours"]:
        sums.update({name: row[name] for name in ("recorded", "pulled", "unaccounted")})
    assert sums == {"recorded": HITS, "pulled": HITS, "unaccounted": 0}


def test_the_bench_runs_from_end_to_end(tmp_path: Path) -> None:
    """Every question is answered, refused or missing, and none fails; what is made is kept."""
    cache = tmp_path / "kept.db"
    arguments = ["--hits", str(HITS), "--repeats", "2", "--cache", str(cache)]
    first, second = (run(options().parse_args(arguments)) for _ in range(2))
    for line in (first, second):
        assert line["hits"] == HITS
        assert not line["failed"]
        assert line["hits, one filter"]["asked"] > 0
        assert not any("failed" in told for told in line["export"].values())
    assert first["made_per_second"] == second["made_per_second"]
    with pytest.raises(SystemExit, match="other hits"):
        run(options().parse_args([*arguments, "--seed", "2"]))
