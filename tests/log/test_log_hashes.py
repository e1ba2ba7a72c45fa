"""Who came while there was no salt counts as the same visitor as who came with one."""

import asyncio
import sqlite3
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.log.combined import ENOUGH_SECONDS, aggregator, ask
from tests.log.kit import Answers, Service, World, read_log, visit, visitors, world
from tests.log.test_log_addresses import (
    ADDRESSES,
    VISITS_EACH,
    everybody_clicks,
    found_addresses,
    learned_keys,
)

pytestmark = pytest.mark.slow

EACH = len(ADDRESSES) * VISITS_EACH


async def salted(running: World) -> None:
    """Return when the edge has a salt: a probe of its own gets no address sealed any more."""
    ends = time.monotonic() + ENOUGH_SECONDS
    async with visitors() as session:
        while time.monotonic() < ends:
            await visit(session, running.url, "probe", Answers())
            if any(record.visitor for record in (await read_log(running)).records):
                return
            await asyncio.sleep(0.5)
    msg = "the edge got no salt"
    raise AssertionError(msg)


async def hashed_hits(combined: Service, wanted: int) -> list[dict[str, Any]]:
    """Return the hits as soon as there are *wanted* and each has a hash, or time is over."""
    ends = time.monotonic() + ENOUGH_SECONDS
    while True:
        hits: list[dict[str, Any]] = (await ask(combined, "/v1/hits?limit=10000"))["hits"]
        enough = len(hits) >= wanted and all("visitor" in hit for hit in hits)
        if enough or time.monotonic() > ends:
            return hits
        await asyncio.sleep(0.2)


def by_visitor(hits: list[dict[str, Any]], part: str) -> dict[str, set[str | None]]:
    """Return the hashes under which each visitor of *part* of the test is known."""
    found = defaultdict(set)
    for hit in hits:
        _, _, _, where, *rest = hit["path"].split("/")
        if where == part:
            found[rest[0]].add(hit.get("visitor"))
    return dict(found)


def hashed_for(running: World) -> int:
    """Return for how many addresses the audit trail says that hashes were given."""
    trail = sqlite3.connect(f"file:{running.folder}/keys/keys.db?mode=ro", uri=True)
    (count,) = trail.execute("SELECT sum(count) FROM audit WHERE what = 'hash'").fetchone()
    trail.close()
    return int(count or 0)


def boxes(running: World) -> int:
    """Return how many address boxes the combined database holds."""
    combined = sqlite3.connect(f"file:{running.folder}/combined/combined.db?mode=ro", uri=True)
    (count,) = combined.execute("SELECT count(*) FROM address_box").fetchone()
    combined.close()
    return int(count)


async def come_without_a_salt(running: World, combined: Service, answers: Answers) -> None:
    """Let everybody click at an edge that started with the key server down, and be pulled."""
    await learned_keys(running)
    running.keys.stop()
    running.edge.start()
    combined.start()
    await asyncio.to_thread(running.edge.wait_live)
    await everybody_clicks(running, "before", answers)
    await asyncio.to_thread(combined.wait_live)
    await asyncio.sleep(1.0)
    combined.kill()


async def test_who_came_without_a_salt_is_the_same_visitor(tmp_path: Path) -> None:
    """The key server was down at a cold start; afterwards every hit has its visitor's one hash.

    The aggregator is killed in between, twice, and no address is on any disk.
    """
    answers = Answers()
    with world(tmp_path, CLIENT_IP="forwarded:1", LOG_LEVEL="DEBUG") as running:
        combined = aggregator(running, [running.edge])
        try:
            await come_without_a_salt(running, combined, answers)
            running.keys.start()
            await asyncio.to_thread(running.keys.wait_live)
            assert {record.visitor for record in (await read_log(running)).records} == {None}
            combined.start()
            await asyncio.sleep(1.0)
            combined.kill()
            combined.start()
            await salted(running)
            await everybody_clicks(running, "after", answers)
            await asyncio.to_thread(combined.wait_live)
            hits = await hashed_hits(combined, 2 * EACH + 1)
        finally:
            combined.kill()
        given, left = hashed_for(running), boxes(running)

    before, after = by_visitor(hits, "before"), by_visitor(hits, "after")
    assert len(answers.redirected) == 2 * EACH
    assert len(before) == len(ADDRESSES)
    assert before == after
    assert all(len(hashes) == 1 and None not in hashes for hashes in before.values())
    assert len(set.union(*before.values())) == len(ADDRESSES)
    assert given >= EACH
    assert left == 0
    assert found_addresses(tmp_path) == {}
