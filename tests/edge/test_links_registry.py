"""An edge and a real registry, end to end."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from link_registry.metrics import SNAPSHOTS
from milepost.links import Link
from tests.edge.links_world import Edge, edge
from tests.link_registry.registry_world import DESTINATION, Registry, running_registry, until


async def _in_registry(registry: Registry) -> dict[str, Link]:
    return {link.id: link async for _, part in registry.store.parts(500) for link in part}


async def _caught_up(one: Edge, registry: Registry) -> None:
    newest = registry.store.place(await registry.store.position())
    await until(lambda: one.follower._place == newest)


def _snapshots() -> float:
    return float(SNAPSHOTS._value.get())


async def test_every_change_arrives(tmp_path: Path) -> None:
    """Made, changed, deleted: what people see in the registry is what visitors get."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        made = await registry.create("/a")
        await _caught_up(one, registry)
        found = await one.find("any.example", "/a")
        await registry.call("PATCH", f"/v1/links/{made['id']}", {"path": "/b"})
        await _caught_up(one, registry)
        moved = await one.find("any.example", "/a"), await one.find("any.example", "/b")
        await registry.call("DELETE", f"/v1/links/{made['id']}")
        await _caught_up(one, registry)
        left = len(one.links.table), await one.on_disk()

    assert found is not None
    assert found.destination == DESTINATION
    assert moved[0] is None
    assert moved[1] is not None
    assert left == (0, {})


async def test_an_edge_that_restarts_resumes(tmp_path: Path) -> None:
    """It asks for what it missed, not for everything."""
    async with running_registry(tmp_path) as registry:
        await registry.create("/a")
        async with edge(tmp_path, registry.url) as before, before.following():
            await _caught_up(before, registry)
        told = _snapshots()
        await registry.create("/b")
        async with edge(tmp_path, registry.url) as after, after.following():
            await _caught_up(after, registry)
            held = await after.found()

        assert held == await _in_registry(registry)
        assert _snapshots() == told


async def test_a_registry_that_restarts_is_followed_on(tmp_path: Path) -> None:
    """Its history is in its database, so the edge goes on where it was."""
    async with (
        running_registry(tmp_path) as registry,
        edge(tmp_path, registry.url) as one,
        one.following(),
    ):
        await registry.create("/a")
        await _caught_up(one, registry)
    async with running_registry(tmp_path) as registry, edge(tmp_path, registry.url) as one:
        told = _snapshots()
        async with one.following():
            await registry.create("/b")
            await _caught_up(one, registry)
            held = await one.found()

        assert held == await _in_registry(registry)
        assert _snapshots() == told


async def test_a_new_history_replaces_everything(tmp_path: Path) -> None:
    """A registry that lost its database has other links under the same positions."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        async with (
            running_registry(tmp_path / name) as registry,
            edge(tmp_path, registry.url) as one,
        ):
            told = _snapshots()
            await registry.create(f"/{name}")
            async with one.following():
                await _until_snapshot(told)
                await _caught_up(one, registry)
                held = await one.on_disk(), await one.found()
            there = await _in_registry(registry)

        assert held == (there, there)
        assert [link.path for link in there.values()] == [f"/{name}"]


async def _until_snapshot(told: float) -> None:
    await until(lambda: _snapshots() > told)


@pytest.mark.slow
async def test_a_snapshot_may_have_several_parts(tmp_path: Path) -> None:
    """1,200 links are three parts and one moment; so are 1,000, whose last part is empty."""
    async with running_registry(tmp_path) as registry:
        for count, more in ((1_000, 1_000), (1_200, 200)):
            for n in range(count - more, count):
                await registry.create(f"/{n}")
            folder = tmp_path / str(count)
            folder.mkdir()
            async with edge(folder, registry.url) as one, one.following():
                await _caught_up(one, registry)
                held = await one.on_disk(), await one.found()
            there = await _in_registry(registry)

            assert held == (there, there)
            assert len(there) == count


edits = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("update"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("delete"), st.integers(0, 9), st.booleans()),
        st.tuples(st.sampled_from(("cut", "restart")), st.just(0), st.just(value=False)),
    ),
    max_size=15,
)


async def _edit(registry: Registry, action: str, number: int, *, enabled: bool) -> None:
    ids = sorted(await _in_registry(registry))
    one = f"/v1/links/{ids[number % len(ids)]}" if ids else "/v1/links/none"
    fields: dict[str, Any] = {"path": f"/{number % 4}", "enabled": enabled}
    if action == "create":
        await registry.call("POST", "/v1/links", fields | {"destination": DESTINATION})
    elif action == "update":
        await registry.call("PATCH", one, fields)
    else:
        await registry.call("DELETE", one)


async def _live(folder: Path, steps: list[tuple[str, int, bool]]) -> None:
    async with running_registry(folder) as registry:
        waiting = [*steps, ("restart", 0, False)]
        while waiting:
            async with edge(folder, registry.url) as one:
                waiting = await _until_restart(registry, one, waiting)
                async with one.following():
                    await _caught_up(one, registry)
                    held = await one.on_disk(), await one.found()
            there = await _in_registry(registry)
            found = {link.id: link for link in there.values() if link.enabled}
            assert held == (there, found)


async def _until_restart(
    registry: Registry, one: Edge, steps: list[tuple[str, int, bool]]
) -> list[tuple[str, int, bool]]:
    """Play *steps* up to a restart of the edge; return those after it."""
    while steps:
        async with one.following():
            while steps:
                (action, number, enabled), *steps = steps
                if action == "restart":
                    return steps
                if action == "cut":
                    break
                await _edit(registry, action, number, enabled=enabled)
    return steps


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(edits)
def test_an_edge_becomes_what_the_registry_is(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is edited, cut and restarted: disk and memory end equal to the registry."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_live(Path(folder), steps))
