"""Three regions while their registry dies, is restored, cut off and made slow.

Visitors click in each of them all the time, and every one gets the very redirect;
afterwards each replica is the registry's table, and what is deleted is a 404 everywhere.
"""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.errors import ServiceError
from milepost.litestream import Litestream
from milepost.mark.file import mark_path
from tests.edge.links_regions import Regions, regions
from tests.log.kit import Service, clean_env
from tests.log.stores import Store
from tests.log.test_log_litestream import BINARY
from tests.log.test_log_lost import replicating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GONE = [404, 404, 404]
THERE = [302, 302, 302]
SILENT_SECONDS = 33.0  # more than an edge's patience with a feed that says nothing


@contextlib.asynccontextmanager
async def _nothing(_registry: Service) -> AsyncIterator[None]:
    """Stand beside it and do nothing."""
    yield


async def _some(running: Regions) -> dict[str, str]:
    """Make links of every kind that will end; return their ids by what they are."""
    made = {
        "warm": await running.create("/gone-warm"),
        "cold": await running.create("/gone-cold"),
        "pattern": await running.create("/gone/*", destination="https://made.example/*"),
        "off": await running.create("/off"),
        "off pattern": await running.create("/off-pattern/*"),
        "over": await running.create("/over"),
        "moved": await running.create("/from"),
    }
    await running.until("/from", THERE)
    await running.until("/gone-warm", THERE)
    return made


async def _end(running: Regions, made: dict[str, str]) -> None:
    """Delete, disable and let expire them, and move one away."""
    for name in ("warm", "cold", "pattern"):
        await running.call("DELETE", f"/v1/links/{made[name]}")
    for name in ("off", "off pattern"):
        await running.call("PATCH", f"/v1/links/{made[name]}", {"enabled": False})
    await running.call("PATCH", f"/v1/links/{made['over']}", {"expires_ms": 1_000})
    await running.call("PATCH", f"/v1/links/{made['moved']}", {"path": "/to"})


async def _ended(running: Regions) -> None:
    """Have all of them led nowhere, in every region."""
    for path in ("/gone-warm", "/gone-cold", "/gone/page", "/off", "/off-pattern/x", "/from"):
        assert await running.statuses(path) == GONE, path
    assert await running.statuses("/over") == [410, 410, 410]
    assert await running.statuses("/to") == THERE


async def test_a_registry_killed_again_and_again(tmp_path: Path) -> None:
    """Its edges resume where they are, and miss nothing of what was done in between."""
    async with regions(tmp_path, _nothing) as running:
        made = await _some(running)
        async with running.edited():
            for _ in range(4):
                await asyncio.sleep(0.5)
                running.registry.kill()
                await asyncio.sleep(0.5)
                await running.start_registry()
            await _end(running, made)
        table = await running.equal()
        await _ended(running)

    assert len(table) > 4_000


@pytest.mark.parametrize("whole_disk", [False, True], ids=["restored", "set back"])
async def test_a_registry_restored_to_an_older_moment(tmp_path: Path, *, whole_disk: bool) -> None:
    """What was done since is gone everywhere, also where nobody heard of it for a while.

    Whether the database alone is another, or the disk as it was, with the mark on it.
    """
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store(f"file://{folder}", folder)
    async with regions(tmp_path, lambda service: replicating(service, store)) as running:
        made = await _some(running)
        control = Path(running.registry.env["MILEPOST_LITESTREAM_SOCKET"])
        await Litestream(control, store.url).sync(running.database)
        older = running.table()
        copy = tmp_path / "older.db"
        _restore(store, copy)
        shutil.copy(mark_path(running.database), mark_path(copy))
        await _end(running, made)
        after = await running.create("/after")
        await running.until("/after", THERE)
        for wire in running.wires[1:]:
            wire.part()
        await running.create("/only-here")
        await running.until("/only-here", [302, 404, 404])
        running.registry.kill()
        _put_in_place(copy, running.database, whole_disk=whole_disk)
        await running.start_registry()
        with_others = running.table()
        for number in range(20):  # the positions that edges know mean something else now
            await running.create(f"/again-{number}")
        await running.until("/again-19", [302, 404, 404])
        for wire in running.wires:
            wire.mend()
        table = await running.equal()
        redirected = [await running.statuses(path) for path in ("/gone-warm", "/off", "/from")]
        forgotten = [await running.statuses(path) for path in ("/after", "/only-here", "/to")]

    assert older[0] is not None
    assert with_others[0] is not None
    assert with_others[0].history != older[0].history
    assert with_others[1] == older[1]
    assert redirected == [THERE] * 3
    assert forgotten == [GONE] * 3
    assert after not in {row[0] for row in table}
    assert set(made.values()) <= {row[0] for row in table}


def _restore(store: Store, out: Path) -> None:
    subprocess.run(
        [str(BINARY), "restore", "-o", str(out), store.url_of("links")],
        check=True,
        capture_output=True,
        env=clean_env(),
    )


def _put_in_place(copy: Path, database: Path, *, whole_disk: bool) -> None:
    for path in database.parent.glob(f"{database.name}-*"):
        path.unlink()
    if whole_disk:  # the file system calls the files what it did
        database.write_bytes(copy.read_bytes())
        mark_path(database).write_bytes(mark_path(copy).read_bytes())
    else:
        copy.replace(database)


async def test_what_is_deleted_while_regions_are_cut_off(tmp_path: Path) -> None:
    """Each cut off in its own way serves what it knows, and hears of all when it can."""
    async with regions(tmp_path, _nothing) as running:
        made = await _some(running)
        running.wires[0].part()
        running.wires[1].hold()
        await _end(running, made)
        await running.until("/to", [404, 404, 302])
        meanwhile = await running.statuses("/gone-warm"), await running.statuses("/gone/page")
        running.wires[1].cut_after(200, each=3_000)  # in the middle of what was kept back
        for wire in running.wires[:2]:
            wire.release()
            wire.refuses = False
        await running.equal()
        await _ended(running)

    assert meanwhile == ([302, 302, 404], [302, 302, 404])


async def test_a_slow_registry_and_one_that_stands_still(tmp_path: Path) -> None:
    """Bytes come by the dozen, then none at all for longer than an edge will wait."""
    async with regions(tmp_path, _nothing) as running:
        made = await _some(running)
        for number, wire in enumerate(running.wires):
            wire.trickle = (20 << number, 0.02)
        items = [{"action": "create", "link": {"path": f"/many-{n}", "destination":
                  f"https://many.example/{n}"}} for n in range(300)]  # fmt: skip
        await running.call("POST", "/v1/links/bulk", {"items": items, "mode": "atomic"})
        await _end(running, made)
        running.pause()
        await asyncio.sleep(SILENT_SECONDS)
        running.go_on()
        with contextlib.suppress(ServiceError):
            await running.create("/after")
        for wire in running.wires:
            wire.mend()
        await running.equal()
        await _ended(running)
        many = await running.statuses("/many-299")

    assert many == THERE
