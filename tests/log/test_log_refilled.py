"""The combined database comes back from an earlier moment, and edges have forgotten meanwhile."""

import asyncio
import shutil
import time
from pathlib import Path

import pytest

from tests.log.combined import aggregator, counted, log_dir
from tests.log.counted import ending
from tests.log.kit import Answers, Service, World, visit_many, world
from tests.log.stores import Store
from tests.log.test_log_litestream import held
from tests.log.test_log_lost import replicating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RETIRED_SECONDS = 150.0


async def restart(running: World) -> None:
    """Have the edge begin a new life, and so a new stream."""
    running.edge.kill()
    running.edge.start()
    await asyncio.to_thread(running.edge.wait_live)


async def retired(running: World, streams: set[str]) -> None:
    """Return when the edge has forgotten *streams*."""
    ends = time.monotonic() + RETIRED_SECONDS
    while streams & {path.name for path in log_dir(running).glob("*.db")}:
        assert time.monotonic() < ends, "not retired"
        await asyncio.sleep(0.5)


async def counting_until(
    running: World, counting: Service, store: Store, answers: Answers, name: str
) -> set[str]:
    """Count visits of two lives; return the streams that the edge had then, all closed but one."""
    async with replicating(counting, store):
        counting.start()
        await asyncio.to_thread(counting.wait_live)
        await visit_many(running, [f"{name}/{each}" for each in range(50)], answers)
        await asyncio.sleep(2.5)  # litestream copies once a second
        await restart(running)
        found = await counted(counting, answers.redirected)
        assert found == dict.fromkeys(answers.redirected, 1)
        streams = {path.name for path in log_dir(running).glob("*.db")}
        if name == "after":
            newest = max(log_dir(running).glob("*.db"), key=lambda path: path.stat().st_ctime)
            await retired(running, streams - {newest.name})
        counting.stop()
    return streams


async def test_what_the_edges_have_forgotten_comes_back_once(tmp_path: Path) -> None:
    """Out of the replicas of their streams, each click as one hit, as before."""
    answers = Answers()
    (tmp_path / "store").mkdir()
    store = Store(f"file://{tmp_path / 'store'}", tmp_path / "store")
    with world(tmp_path / "world", ACCEPT_BUDGET_MS="60000", LOG_KEEP_HOURS="0") as running:
        async with replicating(running.edge, store) as beside:
            running.edge.start()
            await asyncio.to_thread(running.edge.wait_live)
            await held(beside, 1)
            counting = aggregator(running, [running.edge])
            with ending(counting):
                await counting_until(running, counting, store, answers, "before")
                combined = running.folder / "combined"
                shutil.copytree(combined, tmp_path / "yesterday")
                streams = await counting_until(running, counting, store, answers, "after")
                left = streams & {path.name for path in log_dir(running).glob("*.db")}
                shutil.rmtree(combined)
                shutil.copytree(tmp_path / "yesterday", combined)
                async with replicating(counting, store):
                    counting.start()
                    await asyncio.to_thread(counting.wait_live)
                    found = await counted(counting, answers.redirected)

    assert len(answers.redirected) == 100
    assert len(left) <= 1, "the edge has forgotten what was acknowledged"
    assert found == dict.fromkeys(answers.redirected, 1)
