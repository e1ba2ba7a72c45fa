"""An edge with workers: kill -9 of any of them, and of their parent, loses nothing answered."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from milepost.visitor import visitor_hash
from regional_logger.workers.crew import LOOK_SECONDS
from tests.log.kit import READER_TOKEN, Answers, World, read_log, visit_many, world
from tests.log.test_log_epochs import watching_salts
from tests.log.test_log_kills import judge, load
from tests.log.test_log_litestream import held, replicated

pytestmark = pytest.mark.slow

WORKERS = 2
WORKER_KILLS, PARENT_KILLS = 20, 5
PATIENT_MS = "60000"


def workers_of(running: World) -> list[int]:
    """Return the edge's workers by process id."""
    assert running.edge.process is not None
    pid = running.edge.process.pid
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def serving(running: World) -> list[int]:
    """Return the workers that let visitors in."""
    log = running.edge.log.read_text()
    return [
        pid
        for pid in workers_of(running)
        if is_there(pid) and f'{{"pid": {pid}, "event": "service.started"' in log
    ]


def kill(pid: int) -> None:
    """End one process, and no other."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Return once *holds* does."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.02)


async def started(running: World) -> None:
    """Start the edge and wait until every worker lets visitors in."""
    running.edge.start()
    await until(lambda: len(serving(running)) == WORKERS)
    await asyncio.to_thread(running.edge.wait_live)


@contextlib.asynccontextmanager
async def clicking(running: World, answers: Answers, part: int) -> AsyncIterator[None]:
    """Load the edge for as long as the block runs."""
    stop = asyncio.Event()
    task = asyncio.create_task(load(running, answers, stop, part, fresh=True))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.mark.timeout(180)  # a worker that died comes back after a pause that grows
async def test_every_answered_click_is_in_the_log_whichever_worker_dies(tmp_path: Path) -> None:
    """The others go on serving, another comes in its place, and the sums stay right."""
    answers, chance = Answers(), random.Random(3)
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        await started(running)
        async with clicking(running, answers, 0):
            for _ in range(WORKER_KILLS):
                await asyncio.sleep(chance.uniform(0.0, 0.25))
                await until(lambda: len(serving(running)) == WORKERS)
                kill(chance.choice(serving(running)))
        await until(lambda: len(workers_of(running)) == WORKERS)
        assert running.edge.stop() == 0
        log = await read_log(running)

    assert judge(log, answers) == 0
    assert len(answers.redirected) > 1_000
    assert len(log.lives) > WORKER_KILLS
    assert {life.worker for life in log.lives} == {1, 2}


async def test_every_answered_click_is_in_the_log_when_the_parent_dies(tmp_path: Path) -> None:
    """Its workers finish what they accepted and end with it; the next parent begins with new ones.

    Only the parent is killed, so that what ends the workers is the kernel's word and the pipe's.
    """
    answers, chance = Answers(), random.Random(5)
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        for part in range(PARENT_KILLS):
            await started(running)
            orphans = workers_of(running)
            async with clicking(running, answers, part):
                await asyncio.sleep(chance.uniform(0.05, 0.4))
                assert running.edge.process is not None
                kill(running.edge.process.pid)
                await asyncio.to_thread(running.edge.process.wait, 30)
                if part % 2:  # the next parent may come while they still end
                    await until(lambda: not any(map(is_there, orphans)))  # noqa: B023 - at once
            await until(lambda: not any(map(is_there, orphans)))  # noqa: B023 - at once
        log = await read_log(running)

    assert judge(log, answers) == 0
    assert len(answers.redirected) > 100
    assert len(log.lives) == PARENT_KILLS * WORKERS
    assert not any(life.alive for life in log.lives)


def is_there(pid: int) -> bool:
    """Tell whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_the_port_is_served_while_a_worker_is_down(tmp_path: Path) -> None:
    """One that dies costs the visitors that it had, and nobody who comes later."""
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        await started(running)
        before = workers_of(running)
        kill(before[0])
        # Not only a zombie: a thread that ends late, in the middle of a write, keeps the port open.
        await until(lambda: not Path(f"/proc/{before[0]}").exists())
        answers = Answers()
        await visit_many(running, [str(number) for number in range(50)], answers, fresh=True)

        assert len(answers.redirected) == 50
        await until(lambda: len(workers_of(running)) == WORKERS)
        assert before[1] in workers_of(running)


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    """Its port would go on taking visitors that nobody answers."""
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        await started(running)
        hung, other = workers_of(running)
        os.kill(hung, signal.SIGSTOP)
        await until(lambda: not is_there(hung), seconds=4 * LOOK_SECONDS)
        await until(lambda: len(serving(running)) == WORKERS)
        answers = Answers()
        await visit_many(running, [str(number) for number in range(50)], answers, fresh=True)

        assert len(answers.redirected) == 50
        assert other in workers_of(running)


async def test_workers_keep_what_they_are_told(tmp_path: Path) -> None:
    """Epochs end under load, litestream dies; each record is under a salt that was issued."""
    answers = Answers()
    workers = str(WORKERS)
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=workers, EPOCH="2s") as running:
        async with replicated(running) as beside, watching_salts(running) as issued:
            await started(running)
            await held(beside, WORKERS)
            async with clicking(running, answers, 0):
                await asyncio.sleep(5)
                beside.signal(signal.SIGKILL)
                await asyncio.sleep(5)
                await held(beside, WORKERS)
            assert running.edge.stop() == 0
        log = await read_log(running)

    assert judge(log, answers) == 0
    assert {life.worker for life in log.lives} == {1, 2}
    assert len({batch.header.epoch for batch in log.batches.values() if batch.records}) >= 4
    known = {visitor_hash(each.salt, "127.0.0.1") for each in issued.values()}
    assert {record.visitor for record in log.records} <= known


async def test_the_parent_answers_for_all(tmp_path: Path) -> None:
    """Pull, readiness and metrics of every worker, also of one that has died."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS=PATIENT_MS, WORKERS=str(WORKERS)) as running:
        await started(running)
        await visit_many(running, [str(number) for number in range(128)], answers, fresh=True)
        await asyncio.sleep(1.5)  # sums are a second old at most
        kill(workers_of(running)[0])
        await until(lambda: "worker.missing" in running.edge.log.read_text())
        pulled, metrics = await ask(running)

    assert len(answers.redirected) == 128
    assert sum(batch["count"] for batch in pulled["batches"]) == 128
    assert 'milepost_visits_total{outcome="accepted"} 128.0' in metrics
    assert {life["worker"] for life in pulled["lives"]} == {1, 2}


async def ask(running: World) -> tuple[dict[str, list[dict[str, int]]], str]:
    """Return what an aggregator gets, and what is measured."""
    url = f"http://127.0.0.1:{running.edge.private_port}"
    headers = {"Authorization": f"Bearer {READER_TOKEN}"}
    body = {"reader": ["r", 1], "cursors": {}, "acknowledged": {}}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{url}/v1/pull", json=body) as response:
            pulled = await response.json()
        async with session.get(f"{url}/metrics") as response:
            return pulled, await response.text()
