"""Which history the registry tells: a restart keeps it, a restore does not."""

import os
import shutil
from pathlib import Path

import pytest

from link_registry.news import News
from link_registry.store import LinkStore
from milepost.errors import ConfigError
from milepost.links import FeedPlace
from milepost.mark.file import mark_path
from milepost.vocabulary import Position
from tests.edge.links_world import LINKS, edge
from tests.link_registry.registry_world import Registry, running_registry, until


async def _history(folder: Path, *, links: int = 0, machine: str = "local") -> str:
    """Return the history of a registry that runs for a moment, after making so many links."""
    async with LinkStore.open(
        folder / "links.db", os.urandom, News(), checkpoints=True, machine=machine
    ) as store:
        for _ in range(links):
            await store.change(lambda db: db.execute(ONE_MORE))
        await store.fence.look()
        return store.fence.history


ONE_MORE = """
    INSERT INTO change SELECT coalesce(max(position), 0) + 1, 'create', 'x', '{}', 0
      FROM change
"""


async def test_a_start_is_no_restore(tmp_path: Path) -> None:
    """Started again, a registry tells the history that its edges know."""
    before = await _history(tmp_path, links=3)

    assert await _history(tmp_path) == before


async def test_a_restored_database_begins_a_history(tmp_path: Path) -> None:
    """A copy that takes the database's place says so, though the mark is still there."""
    before = await _history(tmp_path, links=1)
    shutil.copy(tmp_path / "links.db", tmp_path / "older.db")
    (tmp_path / "older.db").rename(tmp_path / "links.db")

    after = await _history(tmp_path)

    assert after != before
    assert await _history(tmp_path) == after


async def test_a_database_written_over_in_place_begins_a_history(tmp_path: Path) -> None:
    """The file system calls the file what it did; but it holds less than it has held."""
    before = await _history(tmp_path, links=1)
    older = (tmp_path / "links.db").read_bytes()
    await _history(tmp_path, links=1)
    (tmp_path / "links.db").write_bytes(older)

    assert await _history(tmp_path) != before


async def test_another_machine_or_a_lost_mark_begins_a_history(tmp_path: Path) -> None:
    """Nothing tells whether that is the newest copy; a snapshot for each edge settles it."""
    first = await _history(tmp_path)
    moved = await _history(tmp_path, machine="other")
    mark_path(tmp_path / "links.db").unlink()
    lost = await _history(tmp_path, machine="other")

    assert len({first, moved, lost}) == 3


async def test_two_processes_cannot_both_write(tmp_path: Path) -> None:
    """Who comes later has the database; the other ends at its next look."""
    async with running_registry(tmp_path) as first:
        await _history(tmp_path)

        with pytest.raises(ConfigError, match="another link registry"):
            await first.store.fence.look()
        refused = await first.call("DELETE", "/v1/links/none")

    assert refused.status == 500


async def _set_back(folder: Path) -> FeedPlace:
    """Make three links, and set database and mark back to before the last two."""
    async with running_registry(folder) as registry:
        await registry.create("/1")
        await registry.store.fence.look()
    kept = folder / "kept"
    kept.mkdir()
    for name in ("links.db", "links.mark"):
        shutil.copy(folder / name, kept / name)
    async with running_registry(folder) as registry:
        await registry.create("/2")
        await registry.create("/3")
        place = registry.store.place(Position(3))
    for name in ("links.db", "links.mark"):
        (folder / name).write_bytes((kept / name).read_bytes())
    return place


async def test_a_volume_that_was_set_back_is_told_by_its_edges(tmp_path: Path) -> None:
    """Its mark went back with it; an edge that was told more gives it away, for all of them."""
    told = await _set_back(tmp_path)
    between = FeedPlace(told.history, Position(2))
    async with running_registry(tmp_path) as registry:
        same = registry.store.fence.history
        async with registry.listen(str(told)) as ahead:
            await ahead.content.readuntil(b"\n\n")
            history = registry.store.fence.history
        await registry.create("/other")
        async with registry.listen(str(between)) as behind:
            first = await behind.content.readuntil(b"\n\n")

    assert same == told.history
    assert history != told.history
    assert b"event: snapshot" in first


async def _ahead(registry: Registry) -> str:
    """Say that one has been told more; return the history that is in force then."""
    async with registry.listen(str(registry.store.place(Position(9)))) as answer:
        assert b"snapshot" in await answer.content.readuntil(b"\n\n")
    return registry.store.fence.history


async def test_who_is_ahead_ends_one_history_after_a_start(tmp_path: Path) -> None:
    """A subscriber that lies costs the others one snapshot, and from then on only its own."""
    async with running_registry(tmp_path) as registry:
        began = registry.store.fence.history
        lied = [await _ahead(registry) for _ in range(3)]
    async with running_registry(tmp_path) as registry:
        found = registry.store.fence.history
        first = await _ahead(registry)
        more = [await _ahead(registry) for _ in range(3)]

    assert [began] * 3 == lied
    assert began == found != first
    assert [first] * 3 == more


async def test_who_is_ahead_of_a_restored_database_ends_nothing(tmp_path: Path) -> None:
    """The mark has told of that already; who lies about the new history is alone with it."""
    await _history(tmp_path, links=1)
    shutil.copy(tmp_path / "links.db", tmp_path / "older.db")
    (tmp_path / "older.db").rename(tmp_path / "links.db")
    async with running_registry(tmp_path) as registry:
        begun = registry.store.fence.history

        assert await _ahead(registry) == begun


async def test_who_follows_hears_of_a_new_history(tmp_path: Path) -> None:
    """An edge on an open connection gets the snapshot there and then, and what it had is gone."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        await registry.create("/a")
        await until(lambda: one.follower.position == 1)
        before = registry.store.fence.history
        await registry.store.fence.begin_anew(before, "a test")
        registry.news.announce()
        history = registry.store.fence.history
        await until(lambda: one.follower._place == FeedPlace(history, Position(1)))
        held = await one.on_disk()

    assert [link.path for link in held.values()] == ["/a"]


async def test_a_replica_that_is_ahead_is_replaced(tmp_path: Path) -> None:
    """An edge that knows links which the restored registry never had forgets them."""
    told = await _set_back(tmp_path)
    async with running_registry(tmp_path) as registry, edge(tmp_path, registry.url) as one:
        await one.hold(told, *LINKS[:3])
        async with one.following():
            await until(lambda: one.follower.position == 1)
            held = await one.on_disk(), await one.found()

    assert [link.path for link in held[0].values()] == ["/1"]
    assert held[0] == held[1]
