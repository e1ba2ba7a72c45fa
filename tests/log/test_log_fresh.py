"""Clicks of this moment can be queried soon, whatever else there is to take in."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from milepost.sqlite import connect_read_only
from milepost.vocabulary import Millis
from tests.log.backlog import write_backlog
from tests.log.combined import aggregator, told
from tests.log.fresh import freshness, in_region
from tests.log.kit import world

pytestmark = pytest.mark.slow

RECORDS, STREAMS, CLICKS = 1_000_000, 20, 300
FRESH_SECONDS = 2.0


@pytest.mark.timeout(600)
async def test_a_million_hits_drain_while_clicks_stay_fresh(tmp_path: Path) -> None:
    """Neither the source with the backlog nor its neighbour waits, and every record is counted."""
    with contextlib.ExitStack() as stack:
        behind = stack.enter_context(world(tmp_path))
        neighbour = in_region(behind, "cdg")
        now = Millis(time.time_ns() // 1_000_000)
        await asyncio.to_thread(write_backlog, behind, now, records=RECORDS, streams=STREAMS)
        service = aggregator(behind, [behind.edge, neighbour.edge])
        for each in (behind.edge, neighbour.edge, service):
            stack.callback(each.kill)
            each.start()
            await asyncio.to_thread(each.wait_live)

        found = await freshness(
            [behind, neighbour], service, clicks=CLICKS, pause_seconds=0.02, name="fresh"
        )
        meanwhile = await told(service, lambda _: True)
        after = await told(
            service,
            lambda answer: all(not each["lag_records"] for each in answer["sources"]),
            seconds=300,
        )

    assert sum(each["lag_records"] for each in meanwhile["sources"]) > 0, (
        "there was no backlog left"
    )
    assert found.missing == 0
    assert found.percentile(0.99) < FRESH_SECONDS, found.seconds[-10:]
    assert not any(each["lag_records"] for each in after["sources"])
    assert count_hits(tmp_path / "combined" / "combined.db") == RECORDS + CLICKS


def count_hits(path: Path) -> int:
    """Return how many hits are in the database at *path*."""
    with contextlib.closing(connect_read_only(path)) as connection:
        (found,) = connection.execute("SELECT count(*) FROM hit").fetchone()
    return int(found)
