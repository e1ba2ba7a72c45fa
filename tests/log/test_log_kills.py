"""kill -9 at any moment: what was answered is in the log, what is missing is reported."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.log.kit import Answers, Log, World, read_log, visit, visitors, world

pytestmark = pytest.mark.slow

KILLS = 50


async def load(
    running: World, answers: Answers, stop: asyncio.Event, part: int, *, fresh: bool = False
) -> None:
    """Click, a few at a time, until told to stop."""
    number = 0
    async with visitors(65.0, fresh=fresh) as session:
        while not stop.is_set():
            names = [f"{part}/{number + each}" for each in range(8)]
            await asyncio.gather(*(visit(session, running.url, name, answers) for name in names))
            number += 8
            await asyncio.sleep(0)


async def kill_again_and_again(running: World, answers: Answers, *, kills: int) -> None:
    """Start the edge, load it, kill it at a random moment; *kills* times."""
    chance = random.Random(7)
    for part in range(kills):
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        stop = asyncio.Event()
        clicking = asyncio.create_task(load(running, answers, stop, part))
        await asyncio.sleep(chance.uniform(0.0, 0.25))
        running.edge.kill()
        stop.set()
        await clicking


def judge(log: Log, answers: Answers) -> int:
    """Check what must hold whatever was killed; return how many are lost by number."""
    assert answers.other == {}
    paths = log.paths
    assert max(paths.values()) == 1, "doubled"
    assert log.tally.recorded == len(log.records)
    assert log.meter.shed == log.tally.shed == 0
    lost = log.meter.accepted - log.tally.recorded
    missing = sum(path not in paths for path in answers.redirected)
    assert lost >= missing, "something is missing that nobody reports"
    return missing


async def test_every_answered_click_is_in_the_log_after_fifty_kills(tmp_path: Path) -> None:
    """With a budget that lets every commit finish, an answer means: on disk."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        await kill_again_and_again(running, answers, kills=KILLS)
        log = await read_log(running)

    assert judge(log, answers) == 0
    assert len(answers.redirected) > 1_000
    assert len(log.lives) == KILLS


async def test_with_the_default_budget_what_is_missing_is_reported(tmp_path: Path) -> None:
    """Lost is what the meters accepted and no batch tells; it covers every missing click."""
    answers = Answers()
    with world(tmp_path) as running:
        await kill_again_and_again(running, answers, kills=10)
        running.edge.start()
        await asyncio.to_thread(running.edge.wait_live)
        assert running.edge.stop() == 0
        log = await read_log(running)

    judge(log, answers)
