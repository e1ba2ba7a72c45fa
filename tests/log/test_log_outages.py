"""The key server away for long, edges restarted meanwhile: what the combined database says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.log.combined import aggregator, second_edge
from tests.log.counted import (
    ending,
    judge_counted,
    judge_visitors,
    measured,
    salts_held,
    settled,
    without_at_first,
)
from tests.log.kit import Answers, World, read_log, world
from tests.log.test_log_rotation import PATIENT_MS, begin, clicking, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EPOCH_SECONDS = 16
SHORT_SECONDS, GRACE_SECONDS, LONG_OUTAGE_SECONDS = 6, 8, 26
BACK_SECONDS = 12  # the edges' pause between attempts has grown to ten seconds
SETTLE_SECONDS = 30.0
HASHED = ("milepost_hits_hashed_total", "")
DESTROYED = ("milepost_hits_without_hash_total", "destroyed")


@contextlib.asynccontextmanager
async def both_clicked(
    one: World, other: World, answers: Answers, part: str
) -> AsyncIterator[None]:
    """Load two edges for as long as the block runs."""
    async with (
        clicking(one, answers, f"one/{part}"),
        clicking(other, answers, f"other/{part}"),
    ):
        yield


async def restarted(running: World) -> None:
    """Start the edge again: the salts in its memory are gone."""
    assert running.edge.stop() == 0
    await started(running)


async def test_after_an_epoch_and_a_half_every_hit_has_its_hash(tmp_path: Path) -> None:
    """One edge had no salt at all meanwhile, one lost its own, the aggregator lost its keys."""
    answers = Answers()
    with world(tmp_path, EPOCH=f"{EPOCH_SECONDS}s", ACCEPT_BUDGET_MS=PATIENT_MS) as one:
        other = second_edge(one, "other")
        combined = aggregator(one, [one.edge, other.edge])
        with ending(other.edge, combined):
            await asyncio.gather(started(one), started(other))
            combined.start()
            async with both_clicked(one, other, answers, "before"):
                await asyncio.sleep(2)
            assert one.keys.stop() == 0
            await restarted(other)
            async with both_clicked(one, other, answers, "down"):
                await asyncio.sleep(EPOCH_SECONDS * 0.75)
            early = (await measured(combined)).get(HASHED, 0)  # before the salt came, at the start
            combined.kill()
            combined.start()
            await restarted(one)
            async with both_clicked(one, other, answers, "still"):
                await asyncio.sleep(EPOCH_SECONDS * 0.75)
            await begin(one)
            async with both_clicked(one, other, answers, "after"):
                await asyncio.sleep(BACK_SECONDS)
            await settled(one, len(answers.redirected), SETTLE_SECONDS)
            counts = await measured(combined)
            assert (one.edge.stop(), other.edge.stop()) == (0, 0)
            logs = [await read_log(one), await read_log(other)]
            found = judge_counted(one, logs, answers)

        assert judge_visitors(found, salts_held(one)) == []
    late = without_at_first(logs)
    down = [record for record in logs[1].records if "/down/" in record.path]
    assert {record.visitor for record in down} == {None}
    still = [record for record in logs[0].records if "/still/" in record.path]
    assert {record.visitor for record in still} == {None}
    assert counts == {HASHED: late - early}


async def test_what_is_destroyed_by_then_is_counted_without_a_hash(tmp_path: Path) -> None:
    """The outage outlasts the grace of some epochs: their hits are there, without a hash."""
    answers = Answers()
    epoch, grace = f"{SHORT_SECONDS}s", f"{GRACE_SECONDS}s"
    with world(tmp_path, EPOCH=epoch, SALT_GRACE=grace, ACCEPT_BUDGET_MS=PATIENT_MS) as one:
        other = second_edge(one, "other")
        combined = aggregator(one, [one.edge, other.edge])
        with ending(other.edge, combined):
            await asyncio.gather(started(one), started(other))
            async with both_clicked(one, other, answers, "before"):
                await asyncio.sleep(2)
            salts = salts_held(one)
            assert one.keys.stop() == 0
            await restarted(other)
            combined.start()
            async with both_clicked(one, other, answers, "down"):
                await asyncio.sleep(LONG_OUTAGE_SECONDS)
            await begin(one)
            async with both_clicked(one, other, answers, "after"):
                await asyncio.sleep(BACK_SECONDS)
            await settled(one, len(answers.redirected), SETTLE_SECONDS)
            counts = await measured(combined)
            assert (one.edge.stop(), other.edge.stop()) == (0, 0)
            logs = [await read_log(one), await read_log(other)]
            found = judge_counted(one, logs, answers)

        without = judge_visitors(found, salts)
        gone = salts.keys() - salts_held(one).keys()
    late = without_at_first(logs)
    assert without
    assert {hit.epoch for hit in without} <= gone
    assert counts == {
        HASHED: late - len(without),
        DESTROYED: len(without),
    }
    assert late > len(without)
