"""When the schedule looks for grants to end."""

import pytest

from link_registry.grants.ending import ENDED_PER_RUN, EVERY_SECONDS, SOON_SECONDS, Ender
from link_registry.grants.store import GrantStore
from milepost.vocabulary import Millis
from tests.link_registry.grants_world import advance, granted, listed
from tests.link_registry.registry_world import Registry


@pytest.fixture
def ender(registry: Registry) -> Ender:
    """Return what ends the registry's grants."""
    return Ender(GrantStore(registry.store), registry.clock)


async def test_it_looks_each_minute_and_at_the_next_end(registry: Registry, ender: Ender) -> None:
    """So that a link goes when its grant ends, and a clock that leaps costs a minute at most."""
    pauses = [await ender.step()]
    await granted(registry, minutes=2)
    pauses.append(await ender.step())
    advance(registry, 1.5)
    pauses.append(await ender.step())
    registry.clock.at = Millis(1)
    pauses.append(await ender.step())

    assert pauses == [EVERY_SECONDS, EVERY_SECONDS, 30 + SOON_SECONDS, EVERY_SECONDS]


async def test_many_ends_are_several_transactions(registry: Registry, ender: Ender) -> None:
    """One after the other without a pause, so that other writers come in between."""
    for _ in range(ENDED_PER_RUN + 1):
        await granted(registry)
    advance(registry, 5)
    first, second = await ender.step(), await ender.step()

    assert (first, second) == (0.0, EVERY_SECONDS)
    assert await listed(registry) == []
    assert await registry.store.count() == 0
