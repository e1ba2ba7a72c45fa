"""Changes are kept for so long, and what edges resume from for longer."""

from link_registry.pruner import DAY_MS, Pruner
from milepost.vocabulary import Millis, Position
from tests.link_registry.registry_world import Registry


class _Clock:
    """A clock that stands, and on which nobody waits."""

    def __init__(self, at: int) -> None:
        self.at = Millis(at)

    def now(self) -> Millis:
        """Return the moment it stands at."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Wait for nothing."""
        del seconds


async def _kept(registry: Registry, now: int, newest: int) -> list[int]:
    await Pruner(registry.store, _Clock(now), 1, newest=newest).step()
    changes = await registry.store.changes_after(Position(0), 100)
    return [change.position for change in changes]


async def _five_changes(registry: Registry) -> None:
    """Make five, an hour apart."""
    for n in range(5):
        registry.clock.at = Millis(n * 3_600_000)
        await registry.create(f"/{n}")


async def test_what_is_older_goes(registry: Registry) -> None:
    """And not what is younger."""
    await _five_changes(registry)

    assert await _kept(registry, DAY_MS + 2 * 3_600_000, newest=1) == [3, 4, 5]


async def test_the_newest_stay_however_old(registry: Registry) -> None:
    """An edge that was away for years may still resume from one of them."""
    await _five_changes(registry)

    assert await _kept(registry, 1_000 * DAY_MS, newest=2) == [4, 5]


async def test_no_position_is_used_twice(registry: Registry) -> None:
    """The newest row is never forgotten: from it the next position follows."""
    await _five_changes(registry)
    kept = await _kept(registry, 1_000 * DAY_MS, newest=0)
    await registry.create("/next")

    assert kept == [5]
    assert await registry.store.position() == 6


async def test_a_registry_without_changes_has_nothing_to_forget(registry: Registry) -> None:
    """An empty table is no error."""
    assert await _kept(registry, 1_000 * DAY_MS, newest=1) == []


async def test_the_history_of_a_link_is_kept_for_so_long(registry: Registry) -> None:
    """Who did what is forgotten, also where an edge may still resume from the change."""
    await _five_changes(registry)
    links = (await (await registry.call("GET", "/v1/links")).json())["links"]
    await _kept(registry, DAY_MS + 2 * 3_600_000, newest=100)
    left = [
        await (await registry.call("GET", f"/v1/links/{link['id']}/changes")).json()
        for link in links
    ]

    assert [len(each["changes"]) for each in left] == [0, 0, 1, 1, 1]
