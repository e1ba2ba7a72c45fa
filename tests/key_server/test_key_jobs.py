"""The schedule: what ends a run, and what ends the process."""

import asyncio

import pytest

from key_server.issuing import Issuer
from key_server.jobs import look, run_jobs
from milepost.clock import SystemClock
from milepost.errors import InvariantError, UnavailableError
from tests.key_server.key_world import DAY_MS, World


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look every few milliseconds."""
    monkeypatch.setattr("key_server.jobs.look_seconds", lambda _period: 0.005)


async def test_the_schedule_makes_what_becomes_due(world: World) -> None:
    """Without being told that a day has passed."""
    async with world.open() as server:
        board = server.issuer.board
        jobs = asyncio.create_task(run_jobs(server, world.period, SystemClock()))
        world.clock.move(DAY_MS)
        before = board.shown
        after = await board.wait_for_other({before.etag}, 5)
        jobs.cancel()
        await asyncio.gather(jobs, return_exceptions=True)

    assert len(after.epochs) == len(before.epochs) + 1


async def test_an_expected_failure_ends_one_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told; the list that is there goes on being served."""

    async def fail(self: Issuer) -> None:
        msg = "disk full"
        raise UnavailableError(msg)

    async with world.open() as server:
        shown = server.issuer.board.shown
        monkeypatch.setattr(Issuer, "look", fail)
        await look(server.issuer)

        assert server.issuer.board.shown == shown


async def test_a_broken_promise_ends_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler would go on; the service must not."""

    async def fail(self: Issuer) -> None:
        msg = "this program is wrong"
        raise InvariantError(msg)

    async with world.open() as server:
        monkeypatch.setattr(Issuer, "look", fail)
        with pytest.raises(InvariantError):
            async with asyncio.timeout(5):
                await run_jobs(server, world.period, SystemClock())
