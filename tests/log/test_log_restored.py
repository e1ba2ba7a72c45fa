"""The combined database restored to an earlier moment, and the old aggregator back beside it.

Clicks go on in two regions the whole time.  Before the restore the edges have
forgotten streams that the restored database knows nothing of; the old aggregator
comes back with its own, newer database and without litestream.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import ConflictError
from milepost.vocabulary import Generation
from milepost.wire import PullRequest
from tests.log.combined import aggregator, hits
from tests.log.counted import ending
from tests.log.kit import READER_TOKEN, Answers, Service, world
from tests.log.restoring import (
    READER,
    Region,
    Watch,
    beside_the_first,
    clicking,
    counting,
    cursors,
    database,
    generation,
    in_store,
    paths,
    readiness,
    refusals,
    replicate,
    restore,
    two_regions,
    until,
)
from tests.log.stores import Store
from tests.log.test_log_litestream import Beside
from tests.log.test_log_lost import replicating
from tests.log.test_log_reconciled import command, looked_at, reconciled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

REFUSALS = 3  # by each edge, one after another


@dataclass(slots=True)
class Scene:
    """What everything happens among."""

    regions: list[Region]
    store: Store
    folder: Path
    answers: Answers
    first: Service
    second: Service

    async def turn_over(self) -> list[set[str]]:
        """Close every stream and begin the next; return by region which are closed now."""
        return [await region.turn_over() for region in self.regions]

    async def acknowledged(self, closed: list[set[str]]) -> None:
        """Return when every edge may forget what is closed."""
        for region, streams in zip(self.regions, closed, strict=True):
            await region.acknowledging(streams)

    async def forgotten(self, closed: list[set[str]]) -> None:
        """Return when no edge has what is closed."""
        for region, streams in zip(self.regions, closed, strict=True):
            await region.forgetting(streams)


async def start(combined: Service) -> None:
    """Start an aggregator."""
    combined.start()
    await asyncio.to_thread(combined.wait_live)


async def stop(combined: Service) -> None:
    """Stop an aggregator in order."""
    assert await asyncio.to_thread(combined.stop) == 0, combined.log.read_text()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Two regions, an object store, and two aggregators that have yet to be started."""
    (tmp_path / "store").mkdir()
    store = Store(f"file://{tmp_path / 'store'}", tmp_path / "store")
    with world(tmp_path / "world", ACCEPT_BUDGET_MS="60000", LOG_KEEP_HOURS="0") as running:
        async with two_regions(running, store) as regions:
            first = aggregator(running, [region.running.edge for region in regions])
            second = beside_the_first(first, running.folder / "restored")
            with ending(first, second):
                yield Scene(regions, store, tmp_path, Answers(), first, second)


async def the_hour_before(scene: Scene) -> tuple[datetime, list[str]]:
    """Count for a while; return a moment, and what was counted and replicated by then."""
    async with replicating(scene.first, scene.store) as beside:
        await start(scene.first)
        early = await scene.turn_over()
        await scene.acknowledged(early)
        counted = await counting(scene.first, scene.answers)
        await replicate(scene.first, beside, scene.store)
        moment = datetime.now(UTC)
        begun = await scene.turn_over()  # what begins now is later than the moment
        await scene.acknowledged(begun)
        between = await scene.turn_over()
        await scene.acknowledged(between)
        await counting(scene.first, scene.answers)
        last = await scene.turn_over()
        await scene.forgotten(between)
        await scene.acknowledged(last)  # and not forgotten yet, unless the minute is over
        await replicate(scene.first, beside, scene.store)
        await stop(scene.first)
    return moment, counted


async def the_restore(scene: Scene, moment: datetime, counted: list[str]) -> None:
    """Restore the database to *moment* in a folder of its own; it lacks what came later."""
    path = database(scene.second)
    path.parent.mkdir()
    told = moment.isoformat().replace("+00:00", "Z")
    restore(scene.store, "combined", path, "-timestamp", told, "-integrity-check", "full")
    found, known = paths(path), paths(database(scene.first))
    assert set(counted) <= found.keys()
    assert found.total() < known.total()
    assert generation(scene.second) == generation(scene.first)


async def the_first_word(scene: Scene, beside: Beside) -> None:
    """Start on the restored database: what the old one acknowledged is kept from then on.

    Nothing can be acknowledged anew, for the new one's litestream hangs.
    """
    beside.signal(signal.SIGSTOP)
    await start(scene.second)
    risen = generation(scene.second)

    async def heard() -> bool:
        return {region.generation for region in scene.regions} == {risen}

    await until("the generation heard", heard)
    there = [region.streams for region in scene.regions]
    await scene.turn_over()  # an edge that starts looks at once for what it may forget
    await counting(scene.second, scene.answers)
    for region, streams in zip(scene.regions, there, strict=True):
        assert streams <= region.streams
        assert region.acknowledged == set()
    beside.signal(signal.SIGCONT)


async def the_refill(scene: Scene, beside: Beside) -> None:
    """Let everything come back, and edges forget again."""
    async with looked_at(scene.second):  # nothing is unaccounted, whenever it is asked
        await the_first_word(scene, beside)
        await counting(scene.second, scene.answers)
        closed = await scene.turn_over()
        await scene.acknowledged(closed)
        await scene.turn_over()
        await scene.forgotten(closed)
        await counting(scene.second, scene.answers)


async def the_old_one_beside(scene: Scene) -> None:
    """Bring the old aggregator back: it hears 409 from each edge, and says so."""
    for name in ("LITESTREAM_SOCKET", "REPLICA_URL"):
        scene.first.env.pop(f"MILEPOST_{name}", None)
    await start(scene.first)
    urls = {f"http://127.0.0.1:{region.running.edge.private_port}" for region in scene.regions}

    async def superseded() -> bool:
        status, told = await readiness(scene.first)
        reasons = told.get("reasons", {})
        return status == 503 and all("is older than" in reasons.get(url, "") for url in urls)

    await until("superseded", superseded)
    request = PullRequest(reader=READER, generation=Generation(generation(scene.first)))
    for url in urls:
        async with Client.connect(url, Secret(READER_TOKEN)) as client:
            with pytest.raises(ConflictError, match="is older than"):
                await client.post("/v1/pull", request.to_json())
    await counting(scene.second, scene.answers)
    status, told = await readiness(scene.second)
    assert status == 200, told


async def the_old_one_alone(scene: Scene) -> None:
    """Stop the new aggregator: the old one acknowledges nothing of what closes now."""
    await stop(scene.second)
    marked = [region.acknowledged for region in scene.regions]
    closed = await scene.turn_over()
    unmarked = [streams - there for streams, there in zip(closed, marked, strict=True)]
    assert all(unmarked), "there is something to acknowledge in each region"
    before = refusals(scene.first)

    async def refused() -> bool:
        now = refusals(scene.first)
        return len(now) == len(scene.regions) and all(
            count >= before[url] + REFUSALS for url, count in now.items()
        )

    await until("refused", refused)
    for region, streams, there in zip(scene.regions, unmarked, marked, strict=True):
        assert region.acknowledged <= there
        assert streams <= region.streams


def judge_gone(scene: Scene, watch: Watch, risen: int) -> None:
    """What retired since the restore was in the store, or by then in the restored database.

    An edge that has heard of the *risen* generation goes by the second alone.
    """
    assert {each.generation for each in watch.gone} <= {risen, generation(scene.first)}
    ends = in_store(
        scene.store, scene.regions, {each.stream for each in watch.gone}, scene.folder / "oracle"
    )
    applied = cursors(database(scene.second))
    assert {each.stream: applied[each.stream] for each in watch.gone} == ends
    after = {each.stream: each.seq for each in watch.gone if each.generation == risen}
    assert len(after) >= len(scene.regions)
    assert after == {stream: ends[stream] for stream in after}


async def judge_counted(scene: Scene) -> None:
    """Every answered click is one hit, in the database and in what the API tells."""
    answers = scene.answers
    await counting(scene.second, answers)
    found = paths(database(scene.second))
    assert answers.other == {}
    assert {path: found[path] for path in answers.redirected} == dict.fromkeys(
        answers.redirected, 1
    )
    assert set(found.values()) == {1}
    assert 0 <= len(found) - len(answers.redirected) <= answers.unanswered
    assert await hits(scene.second) == found
    told = await reconciled(
        scene.second,
        lambda total: (total["pulled"], total["behind"]) == (len(found), 0),
    )
    assert told["total"]["lost"] == 0
    done = await asyncio.to_thread(command, scene.second)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_nothing_is_lost_and_the_old_one_is_refused(scene: Scene) -> None:
    """Each click is one hit of the restored database, and nothing retired that it lacked."""
    watch = Watch(scene.regions, database(scene.second))
    async with replicating(scene.second, scene.store) as beside:
        async with clicking(scene.regions, scene.answers):
            moment, counted = await the_hour_before(scene)
            async with watch.looking():
                await the_restore(scene, moment, counted)
                await the_refill(scene, beside)
                risen, old = generation(scene.second), paths(database(scene.first))
                await the_old_one_beside(scene)
                await the_old_one_alone(scene)
                await start(scene.second)
                await counting(scene.second, scene.answers)
        assert paths(database(scene.first)) == old, "it has heard nothing more"
        await stop(scene.first)
        assert generation(scene.first) < generation(scene.second) == risen
        assert {region.generation for region in scene.regions} == {risen}
        await judge_counted(scene)
        judge_gone(scene, watch, risen)
        await replicate(scene.second, beside, scene.store)
        await stop(scene.second)
        again = restore(scene.store, "combined", scene.folder / "again.db")
    assert paths(again) == paths(database(scene.second)), "the store holds the new one"
