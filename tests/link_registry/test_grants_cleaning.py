"""Cleaning up after grants: every id reaches the backend, and none is in another's way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from link_registry.grants.cleaning import TRIES_MAX, pause_seconds
from link_registry.grants.turns import CALLS_MAX, CALLS_OF_EACH_MAX, SLOW_CALLS_MAX, Due, Turns
from milepost.vocabulary import GrantId
from tests.link_registry.grants_world import (
    BACKEND_TOKEN,
    FakeBackend,
    advance,
    broken,
    endless,
    garbage,
    granted,
    hang,
    hang_up,
    jobs,
    listed,
    ok,
    twice,
    until_none,
)
from tests.link_registry.registry_world import GRANTER, Registry

BAD = {"broken": broken, "garbage": garbage, "hang_up": hang_up, "hang": hang}


@contextlib.asynccontextmanager
async def world(
    registry: Registry, backend: FakeBackend, *, try_seconds_max: float = 0.2
) -> AsyncIterator[Any]:
    """Run *backend*, and the jobs that call it."""
    async with (
        backend.running() as url,
        jobs(registry, url, try_seconds_max=try_seconds_max) as clock,
    ):
        yield clock


async def _end(registry: Registry, grant: dict[str, Any]) -> None:
    answer = await registry.call("POST", f"/v1/grants/{grant['id']}/end", token=GRANTER)
    assert answer.status == 200


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def _counted(outcome: str) -> float:
    labels = {"outcome": outcome}
    return REGISTRY.get_sample_value("milepost_registry_cleanups_total", labels) or 0.0


async def until_counted(outcome: str, count: float) -> None:
    """Return once so many runs have ended with *outcome*."""
    await _until(lambda: _counted(outcome) >= count)


async def test_what_expires_is_cleaned_up_and_gone(registry: Registry) -> None:
    """Each id once, with the token and as one segment; the link went first."""
    backend = FakeBackend()
    before = _counted("done")
    ids = ["vm-1", "a/b?c#d%2e", "naïve", "vm-1"]
    grant = await granted(registry, cleanup_ids=ids)
    await granted(registry, "grace", minutes=50, cleanup_ids=["later"])
    async with world(registry, backend):
        advance(registry, 5)
        await until_none(registry, "?owner=ada")

    gone = await registry.call("GET", f"/v1/links/{grant['link']}")
    assert gone.status == 404
    assert dict(backend.reached) == {"vm-1": 1, "a%2Fb%3Fc%23d%252e": 1, "na%C3%AFve": 1}
    assert all(f"Authorization: Bearer {BACKEND_TOKEN}\r\n" in head for head in backend.headers)
    assert _counted("done") == before + 3
    assert [each["owner"] for each in await listed(registry)] == ["grace"]


@pytest.mark.parametrize("how", sorted(BAD))
async def test_what_fails_is_kept_and_retried_on_the_next_run(registry: Registry, how: str) -> None:
    """Three tries a run, each later than the last; meanwhile it is listed and does not count."""
    backend = FakeBackend()
    backend.answer_of = lambda name: BAD[how] if name == "bad" else ok
    before = _counted("failed")
    grant = await granted(registry, cleanup_ids=["bad", "good"], exclusive=True)
    async with world(registry, backend) as clock:
        await _end(registry, grant)
        await _until(lambda: backend.reached["bad"] == TRIES_MAX)
        await until_counted("failed", before + 1)
        await granted(registry, exclusive=True)
        [kept] = await listed(registry, "?state=cleaning")
        for _ in range(20):  # nothing more happens in this run
            await clock.sleep(1)
        tries = backend.reached["bad"]
        backend.answer_of = lambda _name: ok
        advance(registry, 1)
        await until_none(registry, "?state=cleaning")

    assert kept["cleaned"] == ["good"]
    assert [(each["id"], each["failures"]) for each in kept["failed"]] == [("bad", 1)]
    assert kept["failed"][0]["reason"]
    assert tries == TRIES_MAX
    assert dict(backend.reached) == {"bad": TRIES_MAX + 1, "good": 1}


@pytest.mark.parametrize("answer", [twice, endless])
async def test_an_answer_counts_for_one_question(registry: Registry, answer: Any) -> None:
    """A second answer that nobody asked for is not taken as that of the next id."""
    backend = FakeBackend()
    backend.answer_of = lambda _name: answer
    ids = [f"vm-{n}" for n in range(40)]
    grant = await granted(registry, cleanup_ids=ids)
    async with world(registry, backend):
        await _end(registry, grant)
        await until_none(registry)

    assert dict(backend.reached) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    ("line", "fine"),
    [("201 Made", True), ("410 Gone", True), ("302 Found", False), ("404 None", False)],
)
async def test_what_counts_as_done(registry: Registry, line: str, fine: bool) -> None:  # noqa: FBT001
    """A 404 may be a wrong address, which must not clean up everything; no redirect is followed."""
    backend = FakeBackend()
    text = f"HTTP/1.1 {line}\r\nLocation: /api/delete/other\r\nContent-Length: 0\r\n\r\n"
    backend.answer_of = lambda _name: lambda _: text.encode()
    grant = await granted(registry, cleanup_ids=["vm"])
    async with world(registry, backend):
        await _end(registry, grant)
        await _until(lambda: backend.reached["vm"] == (1 if fine else TRIES_MAX))
        if fine:
            await until_none(registry)

    assert set(backend.reached) == {"vm"}
    assert bool(await listed(registry)) is not fine


async def test_ids_that_hang_hold_up_nobody_else(registry: Registry) -> None:
    """Many grants with many of them: one that comes later is cleaned up while they hang."""
    backend = FakeBackend()
    backend.answer_of = lambda name: hang if name.startswith("hang") else ok
    for n in range(20):
        ids = [f"hang-{n}-{m}" for m in range(20)]
        await _end(registry, await granted(registry, f"bad-{n}", cleanup_ids=ids))
    async with world(registry, backend, try_seconds_max=0.5):
        await _until(lambda: backend.together_max >= CALLS_MAX)
        late = await granted(registry, "late", cleanup_ids=["good"])
        await _end(registry, late)
        async with asyncio.timeout(10):
            await until_none(registry, "?owner=late")

    assert len(await listed(registry, "?state=cleaning")) == 20


@pytest.mark.slow
async def test_a_backend_that_does_everything_wrong_forgets_nothing(registry: Registry) -> None:
    """Whatever each try meets, every id is reached, and in the end all is clean."""
    backend = FakeBackend()
    answers = [broken, garbage, hang_up, hang, twice, endless, ok]
    backend.answer_of = lambda name: answers[(backend.reached[name] * 3 + sum(name.encode())) % 7]
    ids = [[f"{n}-{m}" for m in range(7)] for n in range(20)]
    for n, each in enumerate(ids):
        await granted(registry, f"owner-{n}", cleanup_ids=each)
    advance(registry, 5)
    async with world(registry, backend, try_seconds_max=0.1):
        async with asyncio.timeout(60):
            while await listed(registry):
                await asyncio.sleep(0.3)
                advance(registry, 1)

    assert {name for name, count in backend.reached.items() if count} == {
        x for each in ids for x in each
    }


def test_pauses_grow_and_differ() -> None:
    """Twice as long after each try, and not all at the same moment."""
    assert [pause_seconds(tries, 0.0) for tries in (1, 2)] == [0.25, 0.5]
    assert [pause_seconds(tries, 1.0) for tries in (1, 2)] == [0.5, 1.0]


dues = st.lists(
    st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 9), st.booleans()),
    unique_by=lambda each: each[:2],
)


@given(dues)
def test_turns_are_bounded_and_nobody_is_left_out(found: list[tuple[str, int, bool]]) -> None:
    """Of each grant so many, of the slow ones together so many; and in the end all had theirs."""
    slow = {grant: any(s for g, _, s in found if g == grant) for grant, _, _ in found}
    due = [Due(GrantId(g), str(n), int(slow[g]), slow=slow[g]) for g, n, _ in found]
    turns, running, seen = Turns(), list[Due](), list[Due]()
    turns.offer(due)
    while len(seen) < len(due):
        while (taken := turns.take()) is not None:
            running.append(taken)
        of_each = [sum(each.grant == grant for each in running) for grant in slow]
        assert max(of_each) <= CALLS_OF_EACH_MAX
        assert sum(each.slow for each in running) <= SLOW_CALLS_MAX
        assert running, "somebody waits, and nobody is called"
        turns.offer(each for each in due if each not in seen)
        seen.append(running.pop(0))
        turns.ended(seen[-1])

    assert sorted(seen, key=repr) == sorted(due, key=repr)
    assert turns.take() is None


def test_a_grant_that_comes_new_is_next() -> None:
    """Ahead of those that have calls already, however long they have waited."""
    turns = Turns()
    old = [Due(GrantId(g), str(n), 0, slow=False) for g in "ab" for n in range(9)]
    turns.offer(old)
    for _ in range(4):
        turns.take()
    turns.offer([*old, Due(GrantId("z"), "0", 0, slow=False)])

    taken = turns.take()
    assert taken is not None
    assert taken.grant == "z"
