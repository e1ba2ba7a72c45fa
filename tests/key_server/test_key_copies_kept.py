"""Copies that are made, kept and deleted by themselves, on time."""

from pathlib import Path

from structlog.testing import capture_logs

from key_server.copies.names import made_at
from tests.key_server.key_world import DAY_MS, LIMITS, START, World

SECOND_MS = 1_000


def copies(folder: Path) -> list[Path]:
    """Return the copies in *folder*, the oldest first."""
    return sorted(folder.glob("*.copy"))


async def test_copies_are_made_and_deleted_by_themselves(world: World) -> None:
    """One a day; two days later it is gone."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        for _ in range(10):
            for _ in range(3):
                await server.copier.step()
            world.clock.move(DAY_MS // 2)
        held = [made_at(path.name) for path in copies(world.copies)]

    last = world.clock.now() - DAY_MS // 2
    assert held == [last - DAY_MS - DAY_MS // 2, last - DAY_MS // 2]


async def test_what_cannot_be_deleted_keeps_no_other_copy(world: World) -> None:
    """One name that stays, whichever comes first, is told; the rest goes on time."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        for turn in range(4):
            made = await server.copier.make()
            if turn % 2:  # a folder cannot be unlinked
                (world.copies / made.name).unlink()
                (world.copies / made.name).mkdir()
            world.clock.move(SECOND_MS)
        world.clock.move(2 * DAY_MS)
        with capture_logs() as logs:
            await server.copier.step()

        assert [path.is_dir() for path in copies(world.copies)] == [True, True, False]
        assert "copies.delete" in {each.get("step") for each in logs}


async def test_a_copy_from_a_clock_that_was_ahead_stands_for_none(world: World) -> None:
    """Else no copy would be made until its moment has come."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        world.clock.jump(365 * DAY_MS)
        await server.copier.make()
        world.clock.jump(-365 * DAY_MS)
        await server.copier.step()
        await server.copier.step()
        made = [made_at(path.name) for path in copies(world.copies)]

    assert made == [START, START + 365 * DAY_MS]


async def test_no_copy_outlives_what_a_receipt_names(world: World) -> None:
    """However the looks fall: at the moment in the receipt the copy made just before is gone."""
    world.copies = world.folder / "copies"
    async with world.open() as server:
        for _ in range(20):
            await server.copier.step()
            made = await server.copier.make()
            promised = made.made_ms + 1 + LIMITS.backup_ms  # something is destroyed right now
            world.clock.move(137_000)  # so that looks and copies keep no step
            while True:
                world.clock.move(round(await server.copier.step() * 1000) + 40)  # a little late
                if world.clock.now() >= promised:
                    break
            left = [made_at(path.name) for path in copies(world.copies)]
            assert made.made_ms not in left
            assert left  # and never is there none
