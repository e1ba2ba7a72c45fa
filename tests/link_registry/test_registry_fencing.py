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
from tests.edge.links_histories_model import copy_database
from tests.edge.links_world import LINKS, edge
from tests.link_registry.registry_world import Registry, running_registry, until


async def _history(
    folder: Path, *, links: int = 0, machine: str = "local", earlier: set[str] | None = None
) -> str:
    """Return the history of a registry that runs for a moment, after making so many links.

    With *earlier* given, those are the ones that it goes on from.
    """
    async with LinkStore.open(
        folder / "links.db", os.urandom, News(), checkpoints=True, machine=machine
    ) as store:
        for _ in range(links):
            await store.change(lambda db: db.execute(ONE_MORE))
        await store.fence.look()
        assert earlier is None or set(store.fence.earlier) == earlier
        return store.fence.history


ONE_MORE = """
    INSERT INTO change SELECT coalesce(max(position), 0) + 1, 'create', 'x', '{}', 0
      FROM change
"""


async def test_a_start_is_no_restore(tmp_path: Path) -> None:
    """Started again, a registry goes on from the histories that its edges know."""
    first = await _history(tmp_path, links=3, earlier=set())
    second = await _history(tmp_path, earlier={first})

    assert await _history(tmp_path, earlier={first, second}) not in {first, second}


async def test_so_many_histories_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry that starts again and again forgets the oldest."""
    monkeypatch.setattr("link_registry.fencing.store.EARLIER_MAX", 2)
    histories = [await _history(tmp_path) for _ in range(4)]

    await _history(tmp_path, earlier=set(histories[2:]))


async def test_a_restored_database_begins_a_history(tmp_path: Path) -> None:
    """A copy that takes the database's place says so, though the mark is still there."""
    await _history(tmp_path, links=1)
    shutil.copy(tmp_path / "links.db", tmp_path / "older.db")
    (tmp_path / "older.db").rename(tmp_path / "links.db")

    after = await _history(tmp_path, earlier=set())

    await _history(tmp_path, earlier={after})


async def test_a_database_written_over_in_place_begins_a_history(tmp_path: Path) -> None:
    """The file system calls the file what it did; but it holds less than it has held."""
    await _history(tmp_path, links=1)
    older = (tmp_path / "links.db").read_bytes()
    await _history(tmp_path, links=1)
    (tmp_path / "links.db").write_bytes(older)

    await _history(tmp_path, earlier=set())


async def test_another_machine_or_a_lost_mark_begins_a_history(tmp_path: Path) -> None:
    """Nothing tells whether that is the newest copy; a snapshot for each edge settles it."""
    await _history(tmp_path)
    await _history(tmp_path, machine="other", earlier=set())
    mark_path(tmp_path / "links.db").unlink()
    await _history(tmp_path, machine="other", earlier=set())


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
    kept = folder / "kept"
    kept.mkdir()
    async with running_registry(folder) as registry:
        await registry.create("/1")
        await registry.store.fence.look()
        copy_database(folder / "links.db", kept / "links.db")
        shutil.copy(folder / "links.mark", kept / "links.mark")
        await registry.create("/2")
        await registry.create("/3")
        place = registry.store.place(Position(3))
    for name in ("links.db", "links.mark"):
        (folder / name).write_bytes((kept / name).read_bytes())
    return place


async def _first_event(registry: Registry, place: FeedPlace) -> bytes:
    async with registry.listen(str(place)) as answer:
        told: bytes = await answer.content.readuntil(b"\n\n")
        return told


async def test_a_volume_that_was_set_back_tells(tmp_path: Path) -> None:
    """Its mark went back with it; but whoever knows more than it held is no part of it."""
    told = await _set_back(tmp_path)
    shared, between = (FeedPlace(told.history, Position(n)) for n in (1, 2))
    async with running_registry(tmp_path) as registry:
        history = registry.store.fence.history
        first = [await _first_event(registry, place) for place in (shared, between, told)]

    assert history != told.history
    assert b"event: continue" in first[0]
    assert f"id: {history}:1".encode() in first[0]
    assert [b"event: snapshot" in each for each in first] == [False, True, True]


async def test_a_volume_that_was_set_back_and_has_got_as_far_again(tmp_path: Path) -> None:
    """Its edges come only then: no position that they know is taken for one of the new ones."""
    told = await _set_back(tmp_path)
    async with running_registry(tmp_path) as registry, edge(tmp_path, registry.url) as one:
        await one.hold(told, *LINKS[:3])
        for n in range(4):
            await registry.create(f"/other-{n}")
        async with one.following():
            await until(lambda: one.follower.position == 5)
            held = await one.on_disk(), await one.found()

    assert {link.path for link in held[0].values()} == {"/1", *(f"/other-{n}" for n in range(4))}
    assert held[0] == held[1]


async def _ahead(registry: Registry) -> str:
    """Say that one has been told more; return the history that is in force then."""
    async with registry.listen(str(registry.store.place(Position(9)))) as answer:
        assert b"snapshot" in await answer.content.readuntil(b"\n\n")
    return registry.store.fence.history


async def test_who_is_ahead_is_alone_with_it(registry: Registry) -> None:
    """A subscriber that lies gets a snapshot, and costs the others nothing."""
    began = registry.store.fence.history

    assert [await _ahead(registry) for _ in range(3)] == [began] * 3


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
