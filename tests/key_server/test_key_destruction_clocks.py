"""Destruction and clocks: which are believed, when, and what a wrong one must not do."""

import pytest

from milepost.errors import ConflictError
from milepost.vocabulary import Epoch
from tests.key_server.destruction_world import (
    RECORD_DUE_MS,
    SALT_DUE_MS,
    Aggregator,
    tombstone,
)
from tests.key_server.key_world import DAY_MS, World


@pytest.mark.parametrize(("off_ms", "goes"), [(299_000, True), (300_000, False), (-DAY_MS, False)])
async def test_two_clocks_must_agree(
    world: World, aggregator: Aggregator, off_ms: int, *, goes: bool
) -> None:
    """For salts too, when there is another clock."""
    aggregator.off_ms = off_ms
    async with world.open() as server:
        world.clock.move(RECORD_DUE_MS)
        await server.destroyer.look()

        assert [each is not None for each in tombstone(world)] == [goes, goes]


async def test_an_aggregator_that_does_not_answer_holds_record_keys_only(
    world: World, aggregator: Aggregator
) -> None:
    """Privacy asks for the salt's end; the clock has been steady all along."""
    aggregator.down = True
    async with world.open() as server:
        world.clock.move(RECORD_DUE_MS)
        await server.destroyer.look()

    assert [each is not None for each in tombstone(world)] == [True, False]


async def test_a_clock_that_jumps_is_confirmed_by_a_while_or_by_another(
    world: World, aggregator: Aggregator
) -> None:
    """Alone it must stay there for ten minutes; an aggregator that agrees is as good."""
    aggregator.down = True
    async with world.open() as server:
        world.clock.jump(SALT_DUE_MS)
        await server.destroyer.look()
        assert tombstone(world) == (None, None)
        world.clock.move(9 * 60_000)
        await server.destroyer.look()
        assert tombstone(world) == (None, None)
        aggregator.down = False
        await server.destroyer.look()
        assert tombstone(world)[0] is not None


@pytest.mark.parametrize("off", [0, -1])
async def test_a_clock_that_jumps_while_the_aggregator_is_asked_is_not_confirmed(
    world: World, aggregator: Aggregator, off: int
) -> None:
    """Whatever the other clock says just then: what it agreed with was there before the jump."""
    async with world.open() as server:
        world.clock.move(RECORD_DUE_MS)
        await server.issuer.look()
        await server.destroyer.look()
        world.clock.move(DAY_MS)
        await server.issuer.look()
        current = next(span for span in server.issuer.spans if span.holds(world.clock.now()))
        aggregator.meanwhile_ms = 10 * DAY_MS
        aggregator.off_ms = off * aggregator.meanwhile_ms

        await server.destroyer.look()
        aggregator.down, aggregator.meanwhile_ms = True, 0
        await server.destroyer.look()

        assert tombstone(world, current.number) == (None, None)


async def test_after_a_long_rest_the_clock_is_not_believed_at_once(world: World) -> None:
    """The newest trace on disk is all that a start can go by."""
    async with world.open():
        pass
    world.clock.move(SALT_DUE_MS)
    async with world.open() as server:
        # What is written from now on is by the same clock, and proves nothing.
        await server.destroyer.look()
        assert tombstone(world) == (None, None)
        world.clock.move(10 * 60_000)
        await server.destroyer.look()

        assert tombstone(world)[0] is not None


async def test_restarts_do_not_confirm_a_wrong_clock(world: World) -> None:
    """Lists and audit rows are written under it as well, and are no trace of time."""
    async with world.open() as server:
        await server.destroyer.look()
    world.clock.jump(SALT_DUE_MS + 1)
    for _ in range(3):
        async with world.open() as server:
            await server.trail.note("edge", "salts", Epoch(1))
            await server.issuer.rotate("me")
            await server.destroyer.look()
        world.clock.move(60_000)
        assert tombstone(world) == (None, None)

    async with world.open() as server:
        await server.destroyer.look()
        world.clock.move(10 * 60_000)
        await server.destroyer.look()
    assert tombstone(world)[0] is not None


async def test_a_clock_that_went_back_brings_no_destroyed_epoch_back(world: World) -> None:
    """A rotation would move later epochs into its past, and their salts would go too early."""
    async with world.open() as server:
        world.clock.move(SALT_DUE_MS + DAY_MS + 1)
        await server.issuer.look()
        await server.destroyer.look()
        before = server.issuer.spans, server.issuer.board.shown
        for back_ms in (SALT_DUE_MS, SALT_DUE_MS + DAY_MS):  # before and in a destroyed epoch
            world.clock.jump(-back_ms)
            with pytest.raises(ConflictError, match="is the clock right"):
                await server.issuer.rotate("me")
            world.clock.jump(back_ms)
        assert (server.issuer.spans, server.issuer.board.shown) == before
        await server.issuer.rotate("me")
