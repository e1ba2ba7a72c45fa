"""Links that are not in memory: one read, a limit, and no more than so many at a time."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.links import FeedPlace
from milepost.vocabulary import Position
from regional_logger.links.local import READ_SECONDS_MAX, READS_MAX, OwnLinks
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import ABSENT_MAX, COLD
from regional_logger.metrics import LINK_READS
from tests.edge.links_world import HISTORY, LINKS, a_link, local, locked

PATTERN = a_link("p", "/p/*")


def reads(outcome: str) -> float:
    """Return how many reads came to *outcome*."""
    return float(LINK_READS.labels(outcome)._value.get())


@pytest.fixture
async def replica(tmp_path: Path) -> AsyncIterator[Path]:
    """Write a replica that holds LINKS and PATTERN."""
    store = ReplicaStore.open(tmp_path / "links.db")
    await store.arrive([*LINKS, PATTERN], first=True)
    await store.take_arrived(FeedPlace(HISTORY, Position(1)))
    yield tmp_path / "links.db"
    await store.close()


async def test_a_cold_link_is_read_once(replica: Path) -> None:
    """After that it is in memory."""
    before = reads("found")
    with local(replica, *LINKS) as links:
        assert links.table.find("h", "/1") is COLD
        assert (await links.find("h", "/1"))("h", "/1") == LINKS[1]
        assert links.table.find("h", "/1") == LINKS[1]

    assert reads("found") == before + 1


async def test_what_the_gatekeeper_lets_in_by_mistake_is_not_found(replica: Path) -> None:
    """Nor is a pattern whose very text is visited; and what the pattern says holds."""
    ghost = a_link("g", "/ghost")
    before = reads("absent")
    with local(replica, ghost, PATTERN) as links:
        assert (await links.find("h", "/ghost"))("h", "/ghost") is None
        assert (await links.find("h", "/p/*"))("h", "/p/*") == PATTERN

    assert reads("absent") == before + 2


async def test_no_visitor_needs_a_new_thread(
    replica: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have none to give, and that is no reason for an error."""

    def refuse(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    with local(replica, *LINKS) as links, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        found = await asyncio.gather(*(links.find("h", link.path) for link in LINKS))

    assert [find("h", link.path) for find, link in zip(found, LINKS, strict=True)] == LINKS


async def test_what_is_let_in_by_mistake_is_read_once(replica: Path) -> None:
    """Whoever found such a place could keep the readers busy; what comes there later is found."""
    ghost = a_link("g", "/ghost")
    with local(replica, *LINKS, ghost, near_max=1) as links:
        assert links.table.find("h", "/ghost") is COLD
        assert (await links.find("h", "/ghost"))("h", "/ghost") is None
        assert links.table.find("h", "/ghost") is None
        links.table.change((), a_link("new", "/ghost"))
        assert links.table.find("h", "/ghost") is not None


async def test_a_mistake_is_not_remembered_when_links_have_changed_meanwhile(replica: Path) -> None:
    """The link may have come while the disk was read."""
    with local(replica, a_link("g", "/ghost"), near_max=0) as links:
        finding = asyncio.create_task(links.find("h", "/ghost"))
        await asyncio.sleep(0)
        links.table.change((), a_link("new", "/ghost"))
        await finding
        assert links.table.find("h", "/ghost") is COLD


async def test_few_mistakes_are_remembered(replica: Path) -> None:
    """Then others, so that memory has a bound."""
    ghosts = [a_link(f"g{n}", f"/ghost-{n}") for n in range(ABSENT_MAX + 1)]
    with local(replica, *ghosts) as links:
        for ghost in ghosts:
            await links.find("h", ghost.path)
        found = [links.table.find("h", ghost.path) for ghost in ghosts]

    assert found == [COLD] * ABSENT_MAX + [None]


async def test_a_disk_that_does_not_answer_costs_the_limit_and_no_more(lockable: Path) -> None:
    """The visitor finds nothing; once the disk answers again, everything."""
    before = reads("late")
    with local(lockable, *LINKS) as links:
        with locked(lockable):
            begun = time.monotonic()
            assert (await links.find("h", "/1"))("h", "/1") is None
            took = time.monotonic() - begun
        async with asyncio.timeout(10):
            while (await links.find("h", "/1"))("h", "/1") is None:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)

    assert READ_SECONDS_MAX <= took < READ_SECONDS_MAX * 5
    assert reads("late") > before


async def test_a_flood_of_cold_visits_is_bounded(lockable: Path) -> None:
    """Beyond the bound the answer is at once; when the disk is back nothing is left of it."""
    before = reads("refused")
    with local(lockable, *LINKS) as links:
        with locked(lockable):
            finds = await asyncio.gather(*(links.find("h", "/1") for _ in range(1_000)))
            under_way = links._replica._under_way
        async with asyncio.timeout(10):
            while links._replica._under_way:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)

    assert {find("h", "/1") for find in finds} == {None}
    assert under_way <= READS_MAX
    assert reads("refused") - before >= 1_000 - READS_MAX


async def test_a_file_that_cannot_be_read_is_no_error(tmp_path: Path) -> None:
    """The visitor finds nothing; when the file is there, it is read."""
    before = reads("failed")
    path = tmp_path / "links.db"
    with local(path, *LINKS) as links:
        assert (await links.find("h", "/1"))("h", "/1") is None
        path.write_bytes(b"no database" * 1_000)
        assert (await links.find("h", "/1"))("h", "/1") is None
        path.unlink()
        store = ReplicaStore.open(path)
        await store.arrive(LINKS, first=True)
        await store.take_arrived(FeedPlace(HISTORY, Position(1)))
        assert (await links.find("h", "/1"))("h", "/1") == LINKS[1]
        await store.close()

    assert reads("failed") == before + 2


@pytest.mark.parametrize(("near_max", "near"), [(100, 10), (4, 4)])
async def test_links_become_warm_as_far_as_there_is_room(
    replica: Path, near_max: int, near: int
) -> None:
    """Then no visit waits, but for those that had none."""
    with local(replica, near_max=near_max) as links:
        assert await links.renew() == FeedPlace(HISTORY, Position(1))
        await links.warm()
        found = [links.table.find("h", f"/{n}") for n in range(10)]

    assert found.count(COLD) == 10 - near
    assert links.table.near == near
    assert links.table.find("h", "/p/x") == PATTERN


async def test_without_a_disk_everything_is_in_memory(tmp_path: Path) -> None:
    """However little memory it was to take: there is nowhere else."""
    (tmp_path / "file").touch()
    store = ReplicaStore.open(tmp_path / "file" / "links.db")
    with local(tmp_path / "none.db", near_max=1) as links:
        holder = OwnLinks(store, links)
        await store.arrive(LINKS, first=True)
        await store.take_arrived(FeedPlace(HISTORY, Position(1)))
        await holder.renew(FeedPlace(HISTORY, Position(1)))
        found = [links.table.find("h", f"/{n}") for n in range(10)]
    await store.close()

    assert store.path is None
    assert found == LINKS


async def test_the_hosts_of_links_are_known_from_the_disk(tmp_path: Path) -> None:
    """Prefixes do not lead back to them; and with the last link of a host, it is one no more."""
    one = a_link("1", "/x", host="a.example")
    two = a_link("2", "/y", host="a.example:443", enabled=False)
    store = ReplicaStore.open(tmp_path / "links.db")
    await store.arrive([one, two], first=True)
    await store.take_arrived(FeedPlace(HISTORY, Position(1)))
    with local(tmp_path / "links.db") as links:
        await links.renew()
        known = [links.table.has_host("a.example")]
        for link in (one, two):
            links.table.change((link,), None)
            known.append(links.table.has_host("a.example"))
    await store.close()

    assert known == [True, True, False]
