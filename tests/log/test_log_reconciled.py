"""Everything adds up: real edges and a real aggregator, killed, filled up, robbed of their logs."""

import asyncio
import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from milepost.errors import ServiceError
from tests.log.combined import QUERY_TOKEN, aggregator, ask, counted, log_dir
from tests.log.counted import ending
from tests.log.kit import (
    Answers,
    Log,
    Service,
    World,
    clean_env,
    read_log,
    visit_many,
    visitors,
    world,
)
from tests.log.test_log_disk import fill, make_room, may_mount, on_small_disk
from tests.log.test_log_kills import load
from tests.log.test_log_workers import WORKERS, serving, started, workers_of
from tests.log.test_log_workers import kill as kill_one

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

KILLS = 6
ENOUGH_SECONDS = 30.0
PATIENT_MS = "60000"
LOOK_SECONDS = 0.1
DOUBLED = {
    "hit": "UPDATE tally SET pulled = pulled + 1 WHERE pulled > 0",
    "batch": "UPDATE tally SET pulled = 2 * pulled, recorded = 2 * recorded WHERE pulled > 0",
}


async def reconciliation(combined: Service) -> dict[str, Any]:
    """Return what is told now; whenever it is, nothing is unaccounted."""
    told: dict[str, Any] = await ask(combined, "/v1/reconciliation")
    assert told["total"]["unaccounted"] == 0, told
    assert told["unaccounted"] == []
    return told


async def reconciled(combined: Service, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what is told once its sums are *enough*."""
    told: dict[str, Any] = {"total": None}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENOUGH_SECONDS):
            while True:
                with contextlib.suppress(ServiceError):  # it is starting
                    told = await reconciliation(combined)
                    if enough(told["total"]):
                        return told
                await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(told["total"])


def all_of(log: Log) -> Callable[[dict[str, Any]], bool]:
    """Tell of sums whether everything in *log* is pulled."""
    served = log.meter.accepted + log.meter.shed + log.meter.excluded
    return lambda total: (total["served"], total["behind"]) == (served, 0)


@contextlib.asynccontextmanager
async def looked_at(combined: Service) -> AsyncIterator[list[dict[str, Any]]]:
    """Reconcile again and again for as long as the block runs."""
    seen: list[dict[str, Any]] = []

    async def look() -> None:
        while True:
            with contextlib.suppress(ServiceError):
                seen.append(await reconciliation(combined))
            await asyncio.sleep(LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield seen
        assert not looking.done() or looking.result() is None
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


@contextlib.asynccontextmanager
async def clicking(running: World, answers: Answers, part: int) -> AsyncIterator[None]:
    """Load the edge for as long as the block runs."""
    stop = asyncio.Event()
    task = asyncio.create_task(load(running, answers, stop, part))
    try:
        yield
    finally:
        stop.set()
        await task


async def begin(running: World) -> None:
    """Start the edge."""
    running.edge.start()
    await asyncio.to_thread(running.edge.wait_live)


async def test_what_was_killed_is_lost_by_number(tmp_path: Path) -> None:
    """Whatever answers leave early: what meters accepted and no batch holds, and not one more."""
    answers, chance = Answers(), random.Random(11)
    with world(tmp_path, ACCEPT_BUDGET_MS="1") as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            async with looked_at(combined) as seen:
                for part in range(KILLS):
                    await begin(running)
                    async with clicking(running, answers, part):
                        await asyncio.sleep(chance.uniform(0.2, 0.6))
                        running.edge.kill()
                await begin(running)
                log = await read_log(running)
                told = await reconciled(combined, all_of(log))
            found = await counted(combined, [])

    total = told["total"]
    assert total["served"] == log.meter.accepted
    assert total["recorded"] == total["pulled"] == log.tally.recorded == sum(found.values())
    assert total["lost"] == log.meter.accepted - log.tally.recorded
    missing = sum(path not in found for path in answers.redirected)
    assert total["lost"] >= missing
    assert total["late"] == log.tally.late > 0
    assert told["spans"] == []
    assert len(seen) > KILLS


async def test_whichever_worker_dies_it_adds_up(tmp_path: Path) -> None:
    """Two lives at a time, each with a meter of its own."""
    answers, chance = Answers(), random.Random(13)
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await started(running)
            async with looked_at(combined) as seen, clicking(running, answers, 0):
                for _ in range(KILLS):
                    await asyncio.sleep(chance.uniform(0.1, 0.4))
                    while len(serving(running)) < WORKERS:  # noqa: ASYNC110 - other processes
                        await asyncio.sleep(0.05)
                    kill_one(chance.choice(workers_of(running)))
            log = await read_log(running)
            told = await reconciled(combined, all_of(log))
            found = await counted(combined, answers.redirected)

    total = told["total"]
    assert set(answers.redirected) <= found.keys()
    assert total["served"] == log.meter.accepted
    assert total["lost"] == log.meter.accepted - log.tally.recorded
    assert total["pulled"] == sum(found.values())
    assert len(seen) > KILLS


async def test_what_is_not_recorded_by_rule_is_excluded(tmp_path: Path) -> None:
    """Robots and favicons are served, and counted as what they are."""
    answers = Answers()
    with world(tmp_path) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await begin(running)
            async with visitors() as session:
                for path in ("/robots.txt", "/favicon.ico", "/robots.txt"):
                    async with session.get(running.url + path):
                        pass
            await visit_many(running, ["a", "b"], answers)
            told = await reconciled(combined, lambda total: total["served"] == 5)

    assert (told["total"]["excluded"], told["total"]["lost"]) == (3, 0)


@may_mount
async def test_what_found_no_room_is_shed(tmp_path: Path) -> None:
    """A disk that is full, and a memory that holds little: each answered click is somewhere."""
    answers = Answers()
    with world(tmp_path, QUEUE_RECORDS_MAX="100") as running:
        on_small_disk(running)
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await begin(running)
            fill(running)
            await visit_many(running, [f"full/{number}" for number in range(400)], answers)
            make_room(running)
            await asyncio.sleep(1.0)
            await visit_many(running, [f"after/{number}" for number in range(20)], answers)
            served = len(answers.redirected)
            told = await reconciled(
                combined, lambda total: (total["served"], total["behind"]) == (served, 0)
            )

    total = told["total"]
    assert total["served"] == len(answers.redirected) == total["recorded"] + total["shed"]
    assert total["shed"] > 0


async def test_without_the_key_server_records_wait(tmp_path: Path) -> None:
    """They are pulled and sealed; when it is back they are hits, and nothing was lost."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            await begin(running)
            await visit_many(running, [f"wait/{number}" for number in range(50)], answers)
            assert running.keys.stop() == 0
            combined.start()
            waits = await reconciled(combined, lambda total: total["waiting"] == 50)
            running.keys.start()
            await asyncio.to_thread(running.keys.wait_live)
            after = await reconciled(combined, lambda total: total["pulled"] == 50)

    assert (waits["total"]["recorded"], waits["total"]["pulled"]) == (50, 0)
    assert (after["total"]["waiting"], after["total"]["lost"]) == (0, 0)


async def test_a_log_that_was_deleted_is_a_span(tmp_path: Path) -> None:
    """What it had told of is counted, or lost by number; the rest is a time, with its two ends."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await begin(running)
            await visit_many(running, [f"before/{number}" for number in range(40)], answers)
            await reconciled(combined, lambda total: total["pulled"] == 40)
            combined.kill()
            await visit_many(running, [f"unseen/{number}" for number in range(40)], answers)
            running.edge.kill()
            shutil.rmtree(log_dir(running))
            await begin(running)
            await visit_many(running, [f"after/{number}" for number in range(40)], answers)
            combined.start()
            told = await reconciled(combined, lambda total: total["pulled"] == 80)

    (span,) = told["spans"]
    total = told["total"]
    assert (total["served"], total["lost"], total["behind"]) == (80, 0, 0)
    assert (span["region"], span["machine"]) == ("dfw", "local")
    assert span["from"] < span["until"]


async def test_a_meter_that_is_rolled_back_hides_nothing(tmp_path: Path) -> None:
    """The whole log comes back older: what was told of is lost by number, and there is a span."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await begin(running)
            await visit_many(running, [f"kept/{number}" for number in range(20)], answers)
            await reconciled(combined, lambda total: total["pulled"] == 20)
            shutil.copytree(log_dir(running), tmp_path / "older")
            await visit_many(running, [f"rolled/{number}" for number in range(20)], answers)
            await reconciled(combined, lambda total: total["pulled"] == 40)
            running.edge.kill()
            shutil.rmtree(log_dir(running))
            shutil.copytree(tmp_path / "older", log_dir(running))
            await begin(running)
            await visit_many(running, [f"after/{number}" for number in range(20)], answers)
            told = await reconciled(combined, lambda total: total["pulled"] == 60)

    total = told["total"]
    assert (total["served"], total["recorded"], total["lost"]) == (60, 60, 0)
    assert len(told["spans"]) == 1


def command(combined: Service, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `milepost reconcile` as people do away from a fleet file."""
    where = {
        "MILEPOST_AGGREGATOR_URL": f"http://127.0.0.1:{combined.private_port}",
        "MILEPOST_TOKEN": QUERY_TOKEN,
    }
    return subprocess.run(
        [sys.executable, "-m", "milepost", "reconcile", *words],
        env=clean_env() | where,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("planted", ["hit", "batch"])
async def test_a_planted_double_count_is_bad_news(tmp_path: Path, planted: str) -> None:
    """The command says 0 before and 1 after: one hit more is counted, or one batch once more."""
    answers = Answers()
    with world(tmp_path) as running:
        combined = aggregator(running, [running.edge])
        with ending(combined):
            combined.start()
            await begin(running)
            await visit_many(running, [f"once/{number}" for number in range(20)], answers)
            await reconciled(combined, lambda total: total["pulled"] == 20)
            before = await asyncio.to_thread(command, combined)
            combined.kill()
            plant(running, DOUBLED[planted])
            combined.start()
            await asyncio.to_thread(combined.wait_live)
            after = await asyncio.to_thread(command, combined, "--start", "2040-01-01T00:00:00Z")

    assert (before.returncode, after.returncode) == (0, 1), before.stderr + after.stderr
    assert "of dfw in the hour" in after.stdout
    assert "are unaccounted for" in after.stdout


def plant(running: World, sql: str) -> None:
    """Write to the combined database what no program should."""
    path = running.folder / "combined" / "combined.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(sql)
