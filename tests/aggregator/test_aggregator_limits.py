"""Click limits: what is counted, from where, and what the registry hears of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from aggregator.limits import store as limits
from aggregator.limits.counting import LimitCounter
from aggregator.limits.rules import Limited, page_from, slice_end, to_tell
from aggregator.limits.store import LimitStore
from milepost.client import Client, new_session
from milepost.config import Secret
from milepost.database import Writer
from milepost.errors import RejectedError, UnavailableError
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId
from tests.aggregator.combined_world import Edge, World, a_record
from tests.link_registry.registry_world import COUNTER, EDITOR, Registry, running_registry

A, B = LinkId("aaa"), LinkId("bbb")


class FaultyWriter:
    """A writer whose next transactions fail, before or after they have happened."""

    def __init__(self, writer: Writer, *, happened: bool) -> None:
        self._writer = writer
        self._happened = happened
        self.failing = True

    async def transact(self, work: Callable[[Connection], Any]) -> Any:
        """Do *work*, or say that it may have happened."""
        if not self.failing:
            return await self._writer.transact(work)
        if self._happened:
            await self._writer.transact(work)
        msg = "the disk is slow"
        raise UnavailableError(msg)


class Limits:
    """A combined database, an edge with one stream, a registry, and who counts."""

    def __init__(self, world: World, edge: Edge, registry: Registry) -> None:
        self.world = world
        self.edge = edge
        self.registry = registry
        self.stream = edge.begin()
        self.url = registry.url
        self.token = COUNTER

    @property
    def store(self) -> LimitStore:
        """Return the store as it is open now."""
        return LimitStore(self.world.writer, self.world.readers)

    async def clicks(self, *links: str, **changes: Any) -> None:
        """Have one batch with a click of each of *links* pulled."""
        records = [a_record(link=LinkId(each), **changes) for each in links]
        self.stream.add(self.world.epoch, records)
        await self.world.puller(self.edge).step()

    async def round(self) -> None:
        """Let one round pass, as after a start: nothing is remembered but what is stored."""
        async with new_session() as session:
            client = Client(session, self.url, Secret(self.token))
            counter = LimitCounter(client, self.store, Random(1).randbytes)
            await counter.step()
            self.notes = counter.notes()

    async def link(self, link_id: str) -> tuple[int, bool]:
        """Return clicks and enabled, as the registry has them."""
        entry = await self.registry.store.get(link_id)
        return entry.clicks, entry.link.enabled


@pytest.fixture
async def here(world: World, tmp_path: Path) -> AsyncIterator[Limits]:
    """Run all of it."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(running_registry(tmp_path / "links"))
        yield Limits(world, await world.add_edge(), registry)


def test_only_what_is_news_is_told() -> None:
    """A total that rose, and one that has reached the limit although nothing was added."""
    links = [
        Limited(LinkId("same"), 3, 9),
        Limited(LinkId("rose"), 3, 9),
        Limited(LinkId("fell"), 3, 9),
        Limited(LinkId("full"), 9, 9),
        Limited(LinkId("none"), 0, 9),
        Limited(LinkId("again"), 9, 9),
    ]
    totals = {"same": 3, "rose": 4, "fell": 2, "full": 9, "again": 1}

    told = to_tell(links, {LinkId(name): count for name, count in totals.items()})

    assert told == {"rose": 4, "full": 9, "again": 1}


@pytest.mark.parametrize(
    ("batches", "end"),
    [([], None), ([(4, 50)], 4), ([(4, 5), (6, 5), (7, 1)], 6), ([(4, 0), (5, 0)], 5)],
)
def test_a_slice_holds_one_batch_at_least(batches: list[tuple[int, int]], end: int | None) -> None:
    """And otherwise no more hits than are wanted."""
    assert slice_end(batches, 10) == end


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {},
        {"links": [], "next": 3},
        {"links": [{"id": 3, "clicks": 0, "click_limit": 1}], "next": None},
        {"links": [{"id": "a", "clicks": "0", "click_limit": 1}], "next": None},
        {"links": [{"id": "a", "clicks": 0}], "next": None},
    ],
)
def test_a_list_that_is_none_is_refused(told: Any) -> None:
    """As an expected error: the next round asks again."""
    with pytest.raises(RejectedError):
        page_from(told)


async def test_a_click_is_a_redirect_of_a_get(here: Limits) -> None:
    """HEAD, other methods, refusals, previews and prefixes are none."""
    await here.store.enlist([A])
    for status in (301, 302, 307, 308):
        await here.clicks(A, status=status)
    for changes in (
        {"method": "HEAD"},
        {"method": "POST"},
        {"status": 404},
        {"status": 200},
        {"kind": "prefix"},
        {"kind": "orphan"},
    ):
        await here.clicks(A, **changes)
    await here.clicks(B)
    await here.store.advance()

    assert await here.store.totals([A, B]) == {A: 4}


async def test_a_link_ends_in_the_round_after_its_last_click(here: Limits) -> None:
    """Not before; and with no more than what came in that round on top."""
    made = await here.registry.create("/a", click_limit=20)
    await here.round()
    for _ in range(19):
        await here.clicks(made["id"])
    await here.round()
    before = await here.link(made["id"])
    await here.clicks(*[made["id"]] * 4)
    await here.round()

    assert before == (19, True)
    assert await here.link(made["id"]) == (23, False)


async def test_a_link_that_gets_a_limit_later_is_counted_from_the_beginning(
    here: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slice by slice, while those that were counted already go on."""
    monkeypatch.setattr(limits, "BATCHES_MAX", 2)
    first = await here.registry.create("/first", click_limit=100)
    await here.round()
    late = await here.registry.create("/late")
    for _ in range(7):
        await here.clicks(first["id"], late["id"], late["id"])
    await here.round()
    where = f"/v1/links/{late['id']}"
    await here.registry.call("PATCH", where, {"click_limit": 1_000})
    await here.round()
    await here.clicks(first["id"], late["id"])
    await here.round()

    assert await here.link(first["id"]) == (8, True)
    assert await here.link(late["id"]) == (15, True)
    assert await here.world.one("SELECT count(*) FROM click_count WHERE upto IS NOT NULL") == 0


async def test_only_what_is_new_is_read(here: Limits) -> None:
    """A range of the primary key, and no other way into the hits."""
    plan = await here.world.readers.rows(f"EXPLAIN QUERY PLAN {limits.CLICKS}", (1, 2))
    steps = [str(row[3]) for row in plan if " hit" in str(row[3])]

    assert steps == ["SEARCH hit USING PRIMARY KEY (batch>? AND batch<?)"]


async def test_a_batch_that_was_opened_late_is_counted(here: Limits) -> None:
    """Its place moved behind what had been counted when it waited for its key."""
    await here.store.enlist([A])
    here.world.keys.down = True
    here.world.keyring = here.world.new_keyring(here.world.keys.identity)
    await here.clicks(A, A)
    here.world.keys.down = False
    await here.world.restart()
    here.stream.add(here.world.keys.epochs[8], [a_record(link=A)])
    await here.world.puller(here.edge).step()
    await here.store.advance()
    await here.world.late.step()
    while await here.store.advance():
        pass

    assert await here.store.totals([A]) == {A: 3}


async def test_a_registry_that_is_down_costs_a_round(here: Limits) -> None:
    """What was counted meanwhile is told when it is back, and a note says what is wrong."""
    made = await here.registry.create("/a", click_limit=3)
    await here.round()
    here.url = "http://127.0.0.1:9"
    await here.clicks(made["id"], made["id"], made["id"])
    await here.round()
    notes = here.notes
    here.url = here.registry.url
    await here.round()

    assert notes["limits"].startswith("clicks are not limited: http://127.0.0.1:9")
    assert here.notes == {}
    assert await here.link(made["id"]) == (3, False)


async def test_a_token_from_before_the_scope_is_named(here: Limits) -> None:
    """Nothing else goes wrong, so nobody would notice but for the note."""
    here.token = EDITOR
    await here.round()

    assert "'links:count'" in here.notes["limits"]


async def test_a_restart_counts_nothing_twice(here: Limits) -> None:
    """Totals and the place up to which they hold are on disk, in one transaction."""
    made = await here.registry.create("/a", click_limit=100)
    for _ in range(4):
        await here.round()
        await here.clicks(made["id"], made["id"])
        await here.world.restart()
    await here.round()

    assert await here.link(made["id"]) == (8, True)


async def test_a_database_that_was_set_back_lowers_no_total(here: Limits) -> None:
    """It has fewer hits; what they were is told again, and the registry keeps what it knows."""
    made = await here.registry.create("/a", click_limit=9)
    await here.round()
    await here.clicks(*[made["id"]] * 6)
    await here.round()

    def empty(db: Any) -> None:
        for table in ("hit", "click_count", "click_place"):
            db.execute(f"DELETE FROM {table}")

    await here.world.writer.transact(empty)
    await here.clicks(*[made["id"]] * 2)
    await here.round()
    await here.round()

    assert await here.link(made["id"]) == (6, True)


@pytest.mark.parametrize("happened", [False, True])
async def test_a_step_that_may_have_happened_is_made_again(here: Limits, *, happened: bool) -> None:
    """Whether it had or not, new clicks and those from before are counted once."""
    await here.clicks(B)
    await here.store.enlist([A])
    await here.clicks(A, B)
    await here.store.enlist([B])
    faulty = FaultyWriter(here.world.writer, happened=happened)
    store = LimitStore(cast("Writer", faulty), here.world.readers)
    for step in (store.advance, store.catch_up):
        faulty.failing = True
        with pytest.raises(UnavailableError):
            await step()
        faulty.failing = False
        await step()

    assert await store.totals([A, B]) == {A: 1, B: 2}


async def test_two_steps_at_once_count_once(here: Limits) -> None:
    """One that was cut short may still be under way when the next begins."""
    await here.clicks(B)
    await here.store.enlist([A])
    await here.clicks(A, B)
    await here.store.enlist([B])
    store = here.store
    await asyncio.gather(store.advance(), store.advance())
    await asyncio.gather(store.catch_up(), store.catch_up())

    assert await store.totals([A, B]) == {A: 1, B: 2}


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_each_click_is_counted_once(
    here: Limits, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Links that come later, slices of every size, restarts, and steps cut short by each."""
    chance = Random(seed)
    links = [LinkId(f"link{n}") for n in range(4)]
    listed: set[LinkId] = set()
    wanted = dict.fromkeys(links, 0)
    monkeypatch.setattr(limits, "BATCHES_MAX", chance.choice([1, 2, 3, 50]))
    for _ in range(60):
        match chance.randrange(6):
            case 0:
                listed.add(each := chance.choice(links))
                await here.store.enlist([each])
            case 1:
                await here.store.advance()
            case 2:
                await here.store.catch_up()
            case 3 if chance.random() < 0.3:
                await here.world.restart()
            case _:
                clicked = chance.choices(links, k=chance.randrange(1, 4))
                await here.clicks(*clicked)
                for each in clicked:
                    wanted[each] += 1
    while await here.store.advance() or await here.store.catch_up():
        pass

    assert await here.store.totals(links) == {each: wanted[each] for each in listed}
