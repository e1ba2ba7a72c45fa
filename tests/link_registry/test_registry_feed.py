"""The feed as a subscriber sees it."""

import asyncio
import os
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from link_registry.changing.store import REMEMBER
from link_registry.feed import resumes_at
from link_registry.news import News
from link_registry.packing import takes_gzip
from link_registry.pages import CHANGES_BEHIND_MAX, Pages
from link_registry.store import Change
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link
from milepost.sqlite import Connection
from milepost.sse import Event, events
from milepost.vocabulary import Position
from tests.link_registry.registry_world import EDGE, Registry, bearer, running_registry, until

HISTORY, OTHER = "a" * 32, "b" * 32


async def _lines(answer: Any) -> AsyncIterator[bytes]:
    async for line in answer.content:
        yield line.rstrip(b"\n")


async def _take(answer: Any, count: int) -> list[Event]:
    taken: list[Event] = []
    async with asyncio.timeout(10):
        async for event in events(_lines(answer)):
            taken.append(event)
            if len(taken) == count:
                break
    return taken


@pytest.mark.parametrize(
    ("asked", "resumes"),
    [
        ("", None),
        ("nonsense", None),
        (f"{HISTORY}:", None),
        (f"{HISTORY}:-1", None),
        (f"{HISTORY}:{'9' * 40}", None),
        (f"{OTHER}:20000", None),
        (f"{HISTORY}:20001", None),
        (f"{HISTORY}:{20_000 - CHANGES_BEHIND_MAX - 1}", None),
        (f"{HISTORY}:{20_000 - CHANGES_BEHIND_MAX}", 20_000 - CHANGES_BEHIND_MAX),
        (f"{HISTORY}:20000", 20_000),
    ],
)
def test_where_a_subscriber_resumes(asked: str, resumes: int | None) -> None:
    """New, of another history, from the future or too far behind: only a snapshot helps."""
    place = resumes_at(asked, FeedPlace(HISTORY, Position(20_000)))

    assert place == (None if resumes is None else FeedPlace(HISTORY, Position(resumes)))


@pytest.mark.parametrize(("position", "resumes"), [(19_990, True), (19_991, False), (9_999, False)])
def test_where_a_subscriber_of_an_earlier_history_resumes(position: int, *, resumes: bool) -> None:
    """Up to where this history goes on from it; what it was told beyond that has gone."""
    place = FeedPlace(OTHER, Position(position))
    newest = FeedPlace(HISTORY, Position(20_000))

    assert resumes_at(str(place), newest, {OTHER: Position(19_990)}) == (place if resumes else None)


@given(st.text(max_size=60))
def test_no_last_event_id_is_an_error(asked: str) -> None:
    """Whatever a subscriber sends, it gets an answer."""
    assert resumes_at(asked, FeedPlace(HISTORY, Position(5))) is None


async def test_who_is_new_gets_a_snapshot(registry: Registry) -> None:
    """Even one of nothing, for it carries the place to resume from."""
    place = str(registry.store.place(Position(0)))
    async with registry.listen() as answer:
        [event] = await _take(answer, 1)

    assert answer.content_type == "text/event-stream"
    assert event == Event("snapshot", b'{"links":[],"last":true}', place)


async def test_changes_follow_in_their_order(registry: Registry) -> None:
    """Each with its action, its whole rule and its own place."""
    async with registry.listen() as answer:
        await _take(answer, 1)
        made = await registry.create("/a")
        await registry.call("PATCH", f"/v1/links/{made['id']}", {"status": 301})
        await registry.call("DELETE", f"/v1/links/{made['id']}")
        told = await _take(answer, 3)
    rule = {key: value for key, value in made.items() if key in Link.__dataclass_fields__}

    assert [event.id for event in told] == [
        str(registry.store.place(Position(n))) for n in (1, 2, 3)
    ]
    assert [event.name for event in told] == ["create", "update", "delete"]
    assert [orjson.loads(event.data) for event in told] == [
        {"action": "create", "rule": rule},
        {"action": "update", "rule": rule | {"status": 301}},
        {"action": "delete", "rule": rule | {"status": 301}},
    ]


async def test_who_was_away_gets_what_it_missed(registry: Registry) -> None:
    """And nothing of what it has."""
    for n in range(4):
        await registry.create(f"/{n}")
    async with registry.listen(str(registry.store.place(Position(2)))) as answer:
        told = await _take(answer, 2)

    assert [orjson.loads(event.data)["rule"]["path"] for event in told] == ["/2", "/3"]


async def test_a_history_outlives_the_process(tmp_path: Path) -> None:
    """A registry that restarts goes on where it was, and its edges resume."""
    async with running_registry(tmp_path) as before:
        await before.create("/a")
        place = str(before.store.place(Position(1)))
    async with running_registry(tmp_path) as after:
        await after.create("/b")
        async with after.listen(place) as answer:
            goes_on, event = await _take(answer, 2)
        history = after.store.fence.history

    assert (goes_on.name, goes_on.id) == ("continue", f"{history}:1")
    assert orjson.loads(goes_on.data) == {"after": place}
    assert (event.name, event.id) == ("create", f"{history}:2")


async def test_silence_is_broken_by_a_heartbeat(registry: Registry) -> None:
    """So that an edge can tell a quiet registry from a dead line."""
    async with registry.listen() as answer:
        await _take(answer, 1)
        beat = asyncio.create_task(answer.content.readuntil(b"\n\n"))
        while not beat.done():
            registry.clock.tick()
            await asyncio.sleep(0.002)

    assert beat.result().startswith(b": ")


async def test_writers_at_the_same_time_leave_no_gap(registry: Registry) -> None:
    """Twenty links made at once reach two subscribers in one order."""
    async with registry.listen() as one, registry.listen() as two:
        await _take(one, 1)
        await _take(two, 1)
        await asyncio.gather(*(registry.create(f"/{n}") for n in range(20)))
        first, second = await _take(one, 20), await _take(two, 20)

    assert first == second
    assert [event.id for event in first] == [
        str(registry.store.place(Position(n))) for n in range(1, 21)
    ]


async def test_the_feed_ends_with_the_registry(tmp_path: Path) -> None:
    """Who follows delays the end of the process by nothing, and reads an orderly end."""
    async with running_registry(tmp_path) as registry, registry.listen() as answer:
        await _take(answer, 1)
        async with asyncio.timeout(2):
            await registry.server.close()
        rest = await answer.content.read()

    assert rest == b""


def _many(count: int) -> Callable[[Connection], None]:
    """Return a transaction that makes as many changes, of 2 KB each that hardly get smaller."""

    def work(db: Connection) -> None:
        for _ in range(count):
            rule = orjson.dumps({"id": "x", "destination": os.urandom(1_000).hex()}).decode()
            db.execute(REMEMBER, ("update", "x", rule, 0))

    return work


def _waiting_bytes(registry: Registry) -> int:
    """Return the most that the registry holds in memory for one connection."""
    handler = registry.server.handler
    assert handler is not None
    transports = [each.transport for each in handler.connections]
    return max(each.get_write_buffer_size() for each in transports if each is not None)


@pytest.mark.slow
async def test_a_subscriber_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    """Nor the end of the process; and it costs a page of memory, not all that it has missed."""
    async with (
        running_registry(tmp_path) as registry,
        registry.listen() as _stuck,
        registry.listen() as reading,
    ):
        await _take(reading, 1)
        await registry.store.change(_many(9_000))
        told = await _take(reading, 9_000)
        waiting = _waiting_bytes(registry)
        async with asyncio.timeout(2):
            await registry.server.close()

    assert told[-1].id == str(registry.store.place(Position(9_000)))
    assert 0 < waiting < 1_000_000


@pytest.mark.slow
async def test_a_subscriber_that_never_reads_is_dropped(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once and with what waits for it, or the memory would be held for as long as it likes."""
    monkeypatch.setattr("link_registry.feed.SEND_SECONDS_MAX", 0.05)
    async with registry.listen():
        assert _connections(registry) == 1
        await registry.store.change(_many(9_000))
        await until(lambda: not _connections(registry))


def _connections(registry: Registry) -> int:
    handler = registry.server.handler
    assert handler is not None
    return len(handler.connections)


async def test_a_snapshot_is_of_one_moment(registry: Registry) -> None:
    """What is made while it is read is not in it, but follows its position."""
    for n in range(3):
        await registry.create(f"/{n}")
    seen: list[str] = []
    async for position, links in registry.store.parts(1):
        assert position == 3
        seen += [link.path for link in links]
        await registry.create(f"/late-{len(seen)}-{len(links)}")

    assert sorted(seen) == ["/0", "/1", "/2"]
    assert await registry.store.position() > 3


async def test_snapshots_at_one_time_are_one(registry: Registry) -> None:
    """Many edges that start together cost the memory of one snapshot."""
    await registry.create("/a")
    pages = Pages(registry.store, News())
    first, second = await pages.snapshot(), await pages.snapshot()
    shared = first is second
    del first, second

    assert shared
    assert pages._shared() is None


@pytest.mark.slow
async def test_one_that_does_not_read_delays_no_other(registry: Registry) -> None:
    """While it hangs with full buffers, a change reaches the others within half a second."""
    async with registry.listen() as _stuck:
        await registry.store.change(_many(9_000))
        await until(lambda: _waiting_bytes(registry) > 0)
        async with registry.listen() as one, registry.listen() as two:
            for each in (one, two):
                await _take(each, 1)
            begun = time.monotonic()
            await registry.create("/a")
            told = [*await _take(one, 1), *await _take(two, 1)]
            took = time.monotonic() - begun

    assert [event.name for event in told] == ["create", "create"]
    assert took < 0.5


async def test_the_feed_is_compressed_when_asked(registry: Registry) -> None:
    """And each event can be read when it is sent, not when a block is full."""
    headers = bearer(EDGE) | {"Accept-Encoding": "gzip"}
    client, reader = registry.client, zlib.decompressobj(16 + zlib.MAX_WBITS)
    read = b""
    async with client.session.get(
        registry.url + "/sync/stream", headers=headers, auto_decompress=False
    ) as answer:
        async with asyncio.timeout(10):
            while b"event: snapshot" not in read:  # before that, it would hold the link as well
                read += reader.decompress(await answer.content.readany())
            await registry.create("/a")
            while b"event: create" not in read:
                read += reader.decompress(await answer.content.readany())

    assert answer.headers["Content-Encoding"] == "gzip"
    assert read.startswith(b"id: ")
    assert not reader.eof


@pytest.mark.parametrize(
    ("accepted", "gzip"),
    [
        ("", False),
        ("identity", False),
        ("*", False),
        ("br, deflate", False),
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("x-gzip", False),
    ],
)
def test_who_gets_it_compressed(accepted: str, *, gzip: bool) -> None:
    """Who names gzip and does not rule it out."""
    assert takes_gzip(accepted) is gzip


async def test_without_compression_it_is_plain(registry: Registry) -> None:
    """One looks at it with any tool."""
    headers = bearer(EDGE) | {"Accept-Encoding": "identity"}
    await registry.create("/a")
    async with registry.client.get("/sync/stream", headers=headers) as answer:
        [event] = await _take(answer, 1)

    assert "Content-Encoding" not in answer.headers
    assert orjson.loads(event.data)["links"][0]["path"] == "/a"


async def test_one_reading_of_the_database_serves_all(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many edges that hear of one change cost what one costs."""
    pages, place = Pages(registry.store, registry.news), registry.store.place(Position(0))
    assert await pages.after(place) is None
    monkeypatch.setattr(registry.store, "changes_after", _never)
    assert await pages.after(place) is None
    monkeypatch.undo()
    await registry.create("/a")
    page = await pages.after(place)
    monkeypatch.setattr(registry.store, "changes_after", _never)

    assert page is not None
    assert page is await pages.after(place)
    assert page.end.position == 1


async def _never(*_: object) -> list[Change]:
    raise AssertionError


async def test_who_needs_what_is_not_kept_any_more_begins_anew(registry: Registry) -> None:
    """A hole in what follows ends the stream; what is told never has one."""
    for n in range(3):
        await registry.create(f"/{n}")
    await registry.store.change(lambda db: db.execute("DELETE FROM change WHERE position = 2"))
    pages = Pages(registry.store, registry.news)

    with pytest.raises(UnavailableError, match="not kept"):
        await pages.after(registry.store.place(Position(1)))
