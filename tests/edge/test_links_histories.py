"""Whatever happens, a replica is some state of the registry, and in the end the newest.

And the other way round: with any one of the laws broken that this rests on, some
history shows it.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from weakref import WeakKeyDictionary

import pytest

from link_registry import feed as registry_feed
from link_registry.feed import resumes_at
from link_registry.fencing import fence
from link_registry.fencing import store as fence_store
from link_registry.fencing.fence import Fence
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link, feed_place
from milepost.sqlite import Connection
from milepost.vocabulary import Position
from regional_logger.links import feed as edge_feed
from regional_logger.links import store
from regional_logger.links.local import OwnLinks
from regional_logger.links.news import Change, following
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import LinkTable
from tests.edge.links_histories import LIMITS, NAMES, Step, live_through
from tests.edge.links_histories_model import PATIENCE_SECONDS
from tests.edge.links_world import HISTORY

STEPS_MAX, NUMBER_MAX = 40, 1 << 16
FEW, MANY, SEEDS_MAX = 2, 200, 60
KILLED_EACH = 10
BEGINNINGS = 2  # the start of an edge, and its first snapshot
TOLD_AGAIN = LIMITS.behind_max - 1  # so that it takes some pages
Patch = pytest.MonkeyPatch
Earlier = Mapping[str, Position]


def live(steps: list[Step], *, patience: float = PATIENCE_SECONDS) -> None:
    """Live through *steps* in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_through(Path(folder), steps, patience=patience))


def drawn(seed: int) -> list[Step]:
    """Return the steps of one history."""
    chance = Random(seed)
    return [(chance.choice(NAMES), chance.randrange(NUMBER_MAX)) for _ in range(STEPS_MAX)]


@pytest.fixture(autouse=True)
def _small(monkeypatch: Patch) -> None:
    """Have every limit within reach."""
    for module in ("feed", "pages"):
        monkeypatch.setattr(f"link_registry.{module}.CHANGES_BEHIND_MAX", LIMITS.behind_max)
    monkeypatch.setattr("link_registry.pages.SNAPSHOT_PART_LINKS", LIMITS.part_links)
    monkeypatch.setattr("link_registry.pages.CHANGES_PER_READ", LIMITS.page_changes)
    monkeypatch.setattr("regional_logger.links.feed.LINKS_A_WRITE", LIMITS.links_a_write)


@pytest.mark.parametrize("seed", range(FEW))
def test_replicas_become_what_the_registry_is(seed: int) -> None:
    """After each step a state that there was; after all has healed the one that there is."""
    live(drawn(seed))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_replicas_become_what_the_registry_is_in_many_histories() -> None:
    """The same, far more often."""
    for seed in range(FEW, MANY):
        try:
            live(drawn(seed))
        except AssertionError as error:
            error.add_note(f"in the history of seed {seed}")
            raise


def two_transactions(patch: Patch) -> None:
    """The place moves first, and then the links, if nothing comes in between."""
    times = itertools.count(1)

    async def apply_in_two(self: ReplicaStore, *changes: Change) -> list[tuple[Link, ...]]:
        await self._writer.transact(lambda db: store._move(db, changes[-1].place))
        if next(times) % KILLED_EACH == 0:
            msg = "killed in between"
            raise UnavailableError(msg)
        return await self._writer.transact(
            lambda db: [store._apply(db, change) for change in changes]
        )

    patch.setattr(ReplicaStore, "apply", apply_in_two)


def snapshots_only_add(patch: Patch) -> None:
    """What is not in a snapshot stays."""
    patch.setattr(store, "FORGET_LINKS", "DELETE FROM link WHERE id IN (SELECT id FROM arriving)")
    patch.setattr(store, "TAKE_ARRIVED", store.TAKE_ARRIVED.replace("INSERT", "INSERT OR REPLACE"))


def snapshots_part_by_part(patch: Patch) -> None:
    """A snapshot takes the place of the links before its last part is there."""

    async def arrive(self: ReplicaStore, links: Sequence[Link], *, first: bool) -> None:
        def work(db: Connection) -> None:
            if first:
                db.execute(store.FORGET_LINKS)
            db.executemany(store.PUT, map(store._row, links))

        await self._writer.transact(work)

    async def take_arrived(self: ReplicaStore, place: FeedPlace) -> None:
        await self._writer.transact(lambda db: store._move(db, place))

    patch.setattr(ReplicaStore, "arrive", arrive)
    patch.setattr(ReplicaStore, "take_arrived", take_arrived)


def restored_unawares(patch: Patch) -> None:
    """A registry goes on with its history, whatever it finds."""
    patch.setattr(fence, "why_new", lambda *_: "")
    patch.setattr(Fence, "new_history", lambda _: HISTORY)
    patch.setattr(fence_store, "ENDED", "SELECT ?")


def ends_are_not_looked_at(patch: Patch) -> None:
    """A history goes on from those before it, however far an edge was told in them."""
    patch.setattr(fence, "why_new", lambda *_: "")

    def resumes(asked: str, newest: FeedPlace, earlier: Earlier) -> FeedPlace | None:
        return resumes_at(asked, newest, dict.fromkeys(earlier, newest.position))

    patch.setattr(registry_feed, "resumes_at", resumes)


def histories_are_one(patch: Patch) -> None:
    """Neither side looks at which history a position belongs to."""

    def resumes_at(asked: str, newest: FeedPlace, _: Earlier) -> FeedPlace | None:
        place = feed_place(asked)
        if place is None or place.position > newest.position:
            return None
        return FeedPlace(newest.history, place.position)

    def follows(held: FeedPlace | None, changes: Sequence[Change]) -> tuple[list[Change], str]:
        if held is not None and changes:
            held = replace(held, history=changes[0].place.history)
        return following(held, changes)

    patch.setattr(registry_feed, "resumes_at", resumes_at)
    patch.setattr(edge_feed, "following", follows)


def repeats_are_applied(patch: Patch) -> None:
    """The feed tells some changes again, and an edge does not pass over what it has."""

    def resumes_a_little_before(asked: str, newest: FeedPlace, _: Earlier) -> FeedPlace | None:
        place = resumes_at(asked, newest)
        return place and replace(place, position=Position(max(place.position - TOLD_AGAIN, 0)))

    def follows(held: FeedPlace | None, changes: Sequence[Change]) -> tuple[list[Change], str]:
        if changes and (held is None or changes[0].place.history != held.history):
            return [], "another history"
        return list(changes), ""

    patch.setattr(registry_feed, "resumes_at", resumes_a_little_before)
    patch.setattr(edge_feed, "following", follows)


def gaps_are_passed_over(patch: Patch) -> None:
    """The feed loses a change when it resumes, and an edge does not look for it."""

    def resumes_too_late(asked: str, newest: FeedPlace, _: Earlier) -> FeedPlace | None:
        place = resumes_at(asked, newest)
        return place and FeedPlace(
            place.history, Position(min(place.position + 1, newest.position))
        )

    def follows(held: FeedPlace | None, changes: Sequence[Change]) -> tuple[list[Change], str]:
        if held is not None and changes:
            held = replace(held, position=Position(changes[0].place.position - 1))
        return following(held, changes)

    patch.setattr(registry_feed, "resumes_at", resumes_too_late)
    patch.setattr(edge_feed, "following", follows)


def memory_keeps_what_is_gone(patch: Patch) -> None:
    """What a change did away with is still found in memory."""
    change = LinkTable.change
    patch.setattr(LinkTable, "change", lambda self, _gone, put: change(self, (), put))


def memory_outlives_a_snapshot(patch: Patch) -> None:
    """After a snapshot memory is as it was."""
    renew, times = OwnLinks.renew, WeakKeyDictionary[OwnLinks, int]()

    async def renew_at_first(self: OwnLinks, place: FeedPlace | None) -> None:
        times[self] = times.get(self, 0) + 1
        if times[self] <= BEGINNINGS:
            await renew(self, place)

    patch.setattr(OwnLinks, "renew", renew_at_first)


async def _nothing(*_: object) -> None:
    """Do nothing."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "weaken",
    [
        two_transactions,
        snapshots_only_add,
        snapshots_part_by_part,
        restored_unawares,
        ends_are_not_looked_at,
        histories_are_one,
        repeats_are_applied,
        gaps_are_passed_over,
        memory_keeps_what_is_gone,
        memory_outlives_a_snapshot,
    ],
)
def test_each_weakened_follower_is_caught(
    weaken: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one of the laws broken some history is wrong; but not one in which nothing happens."""
    weaken(monkeypatch)
    live([])

    for seed in range(SEEDS_MAX):
        try:
            live(drawn(seed), patience=5.0)
        except AssertionError:
            return

    pytest.fail(f"no history among {SEEDS_MAX} was wrong")
