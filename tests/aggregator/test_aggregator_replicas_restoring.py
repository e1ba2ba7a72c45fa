"""Restoring replicas: what litestream is told, for how long, and what is left of it."""

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.replicas import restoring
from aggregator.replicas.access import Access
from aggregator.replicas.names import Name
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.rules import SILENT_MS
from aggregator.replicas.sweeping import QUIET_MS, SOON_SECONDS, SWEEP_SECONDS
from milepost.errors import RejectedError, UnavailableError
from milepost.vocabulary import StreamId
from tests.aggregator.combined_world import World
from tests.aggregator.replica_world import ReplicaWorld, a_stream, aged

NAME = Name("dfw", "m1", StreamId(b"a" * 16))
URL = "s3://bucket/base?endpoint=http://h:1&token=hush"


@pytest.fixture
def lost(world: World) -> ReplicaWorld:
    """Return a store with nothing in it."""
    return ReplicaWorld(world)


def a_program(folder: Path, text: str) -> str:
    """Return a program that is in litestream's place."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def a_restorer(folder: Path, program: str) -> Restorer:
    """Return what restores with *program*."""
    env = {**os.environ, "AWS_SECRET_ACCESS_KEY": "quiet", "MILEPOST_TOKEN": "ours"}
    return Restorer(Access(URL, env), program, folder / "scratch")


def is_running(process: Path) -> bool:
    """Tell whether the process whose id stands in the file is there."""
    try:
        os.kill(int(process.read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(file: Path) -> None:
    """Return when there is something in *file*."""
    for _ in range(500):
        if file.exists() and file.read_text():
            return
        time.sleep(0.02)


async def test_nothing_secret_stands_in_the_command(tmp_path: Path) -> None:
    """The address comes in a file for the owner alone, credentials in the environment."""
    program = a_program(
        tmp_path, f'echo "$@" > {tmp_path}/words; env > {tmp_path}/env; cp "$4" "$5"'
    )
    restorer = a_restorer(tmp_path, program)
    async with restorer.restored(NAME, 0) as path:
        told = path.read_text()
        modes = {each.stat().st_mode & 0o777 for each in path.parent.glob("*.yml")}

    assert "s3:" not in (tmp_path / "words").read_text()
    assert f"s3://bucket/base/{NAME}?endpoint=http://h:1&token=hush" in told
    assert modes == {0o600}
    assert "AWS_SECRET_ACCESS_KEY=quiet" in (tmp_path / "env").read_text()
    assert "MILEPOST_" not in (tmp_path / "env").read_text()
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_restore_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for it no longer than that."""
    monkeypatch.setattr(restoring, "RESTORE_SECONDS_MAX", 0.5)
    restorer = a_restorer(tmp_path, a_program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))
    with pytest.raises(UnavailableError, match="took more than"):
        async with restorer.restored(NAME, 0):
            pass

    assert not is_running(tmp_path / "pid")
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_restore_ends_with_whoever_wanted_it(tmp_path: Path) -> None:
    """An aggregator that is told to stop leaves no process and no file."""
    restorer = a_restorer(tmp_path, a_program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"))

    async def restore() -> None:
        async with restorer.restored(NAME, 0):
            pass

    task = asyncio.create_task(restore())
    await asyncio.to_thread(wait_for, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not is_running(tmp_path / "pid")
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_what_it_says_is_told_in_one_short_line(tmp_path: Path) -> None:
    """However much that is, and without what nobody should hear."""
    text = (
        f'head -c 3000000 /dev/zero | tr "\\0" x >&2; echo >&2; echo "bad {URL} quiet" >&2; exit 3'
    )
    with pytest.raises(RejectedError) as caught:
        async with a_restorer(tmp_path, a_program(tmp_path, text)).restored(NAME, 0):
            pass

    assert str(caught.value) == "it cannot be restored: bad s3://bucket/base?… …"


async def test_what_does_not_fit_is_not_restored(tmp_path: Path) -> None:
    """The combined database needs the room that is left."""
    with pytest.raises(UnavailableError, match="no room to restore it"):
        async with a_restorer(tmp_path, "/nowhere").restored(NAME, 1 << 60):
            pass


async def test_what_is_still_being_written_is_not_finished(lost: ReplicaWorld) -> None:
    """A machine that nobody knows yet may be alive; one that goes on so is read all the same."""
    world = lost.world
    stream = a_stream(world, 1)
    replica = lost.put(stream)
    aged(replica, world.clock.now())
    sweeper = lost.sweeper()
    assert await sweeper.step() == SOON_SECONDS
    assert await world.paths() == []
    await lost.pass_time(SILENT_MS)
    aged(replica, world.clock.now())
    await sweeper.step()
    assert len(await world.paths()) == 2
    assert await lost.row(stream, "swept_ms") == (None,)
    await lost.pass_time(QUIET_MS + 1_000)
    assert await sweeper.step() == SWEEP_SECONDS

    assert await lost.row(stream, "swept_ms") == (world.clock.now(),)


async def test_a_stream_without_a_batch_is_swept_too(lost: ReplicaWorld) -> None:
    """It is read once, and not at every sweep."""
    stream = a_stream(lost.world, 1, ())
    lost.put(stream)
    await lost.sweeper().step()

    assert await lost.row(stream, "seq", "last_seq", "swept_ms") == (0, 0, lost.world.clock.now())


async def test_damage_inside_a_replica_costs_one_batch(lost: ReplicaWorld) -> None:
    """What stands around it is counted once, and it is set aside by number."""
    world = lost.world
    stream = a_stream(world, 1, (1, 2, 3))
    stream.batches[1] = replace(stream.batches[1], records=stream.batches[1].records[:-1] + b"?")
    lost.put(stream)
    sweeper = lost.sweeper()
    await sweeper.step()

    assert await world.paths() == ["/spring?n=1", "/spring?n=3"]
    assert (await sweeper.told())["failed"] == []
    assert await lost.row(stream, "seq", "last_seq") == (3, 3)
    assert await world.one("SELECT seq FROM damaged") == 2
