"""The feed: every change of a link, told to every edge in its order.

A subscriber is one loop that reads the database after its own position and
writes what it found, page by page.  Nothing is queued for it in memory, so one
that reads slowly costs a page, and holds up nobody.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from link_registry.metrics import SNAPSHOTS, SUBSCRIBERS
from link_registry.news import News
from link_registry.paging import refuse_unknown
from link_registry.store import Change, LinkStore
from milepost.clock import Clock
from milepost.errors import ServiceError, UnavailableError
from milepost.links import FeedPlace, feed_place
from milepost.logs import get_log
from milepost.sse import HEARTBEAT, Event, frame
from milepost.vocabulary import Position

log = get_log(__name__)

SNAPSHOT_PART_LINKS = 500
CHANGES_PER_READ = 200
CHANGES_BEHIND_MAX = 10_000  # an edge further behind than this gets a snapshot
SUBSCRIBERS_MAX = 1_000
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS_MAX = 30.0  # longest that one page may take to leave

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """All links at one position, ready to be sent."""

    position: Position
    frames: tuple[bytes, ...]


def resumes_at(asked: str, newest: FeedPlace) -> Position | None:
    """Return the position that the Last-Event-ID *asked* resumes from; None: only a snapshot helps.

    A position of another history means nothing here, and one from the future
    shows that this database was set back.
    """
    place = feed_place(asked)
    if place is None or place.history != newest.history:
        return None
    behind = newest.position - place.position
    return place.position if 0 <= behind <= CHANGES_BEHIND_MAX else None


class Feed:
    """Everybody who follows, and what they share."""

    def __init__(self, store: LinkStore, news: News, clock: Clock) -> None:
        self._store = store
        self._news = news
        self._clock = clock
        self._closed = asyncio.Event()
        self._subscribers = 0
        self._building = asyncio.Lock()
        # One snapshot serves all who need one at the same time.  It is gone
        # when the last of them has it.
        self._shared: Callable[[], Snapshot | None] = _nothing

    def close(self) -> None:
        """End every subscriber's stream, and take no further one."""
        self._closed.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer one subscriber for as long as it listens."""
        refuse_unknown(request.query)
        response = web.StreamResponse(headers=HEADERS)
        with self._counted():
            await response.prepare(request)
            subscriber = Subscriber(response, self._store)
            asked = request.headers.get("Last-Event-ID", "")
            try:
                await self._until_closed(self._serve(subscriber, asked))
            except TimeoutError:
                log.info("subscriber.dropped", send_seconds_max=SEND_SECONDS_MAX)
                if request.transport is not None:
                    request.transport.abort()  # an orderly end would wait for it to read
            except (ConnectionError, ServiceError) as error:
                # The answer has begun: all that can be said is that it ends here.
                log.info("subscriber.lost", reason=type(error).__name__)
        return response

    async def _serve(self, subscriber: "Subscriber", asked: str) -> None:
        position = resumes_at(asked, self._store.place(await self._store.position()))
        if position is None:
            snapshot = await self._snapshot()
            SNAPSHOTS.inc()
            await subscriber.send_all(snapshot.frames)
            position = snapshot.position
            del snapshot  # so that it can go while this loop goes on
        while True:
            news = self._news.next()
            position = await subscriber.send_after(position)
            if not await self._heard(news):
                await subscriber.send(HEARTBEAT)

    async def _heard(self, news: asyncio.Event) -> bool:
        """Wait for *news*, or until a heartbeat is due; tell whether there was any."""
        await _first(news.wait(), self._clock.sleep(HEARTBEAT_SECONDS))
        return news.is_set()

    async def _until_closed(self, work: Coroutine[Any, Any, None]) -> None:
        await _first(work, self._closed.wait())

    @contextlib.contextmanager
    def _counted(self) -> Any:
        if self._closed.is_set() or self._subscribers >= SUBSCRIBERS_MAX:
            msg = "the feed takes no further subscriber now; ask again"
            raise UnavailableError(msg)
        self._subscribers += 1
        SUBSCRIBERS.inc()
        try:
            yield
        finally:
            self._subscribers -= 1
            SUBSCRIBERS.dec()

    async def _snapshot(self) -> Snapshot:
        async with self._building:
            snapshot = self._shared()
            newest = await self._store.position()
            if snapshot is None or newest - snapshot.position > CHANGES_BEHIND_MAX:
                snapshot = await self._read_snapshot()
                self._shared = weakref.ref(snapshot)
            return snapshot

    async def _read_snapshot(self) -> Snapshot:
        position, parts = Position(0), []
        async for at, links in self._store.parts(SNAPSHOT_PART_LINKS):
            position = at
            parts.append(orjson.dumps([link.to_rule() for link in links]))
        place = str(self._store.place(position))
        frames = [_part_frame(part, last=False, place="") for part in parts[:-1]]
        return Snapshot(position, (*frames, _part_frame(parts[-1], last=True, place=place)))


class Subscriber:
    """One open answer."""

    def __init__(self, response: web.StreamResponse, store: LinkStore) -> None:
        self._response = response
        self._store = store

    async def send(self, frames: bytes) -> None:
        """Write, and give up on a reader that does not read."""
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self._response.write(frames)

    async def send_all(self, frames: tuple[bytes, ...]) -> None:
        """Write one frame after the other."""
        for each in frames:
            await self.send(each)

    async def send_after(self, position: Position) -> Position:
        """Write every change after *position*; return the position of the last."""
        while changes := await self._store.changes_after(position, CHANGES_PER_READ):
            await self.send(b"".join(map(self._change_frame, changes)))
            position = changes[-1].position
        return position

    def _change_frame(self, change: Change) -> bytes:
        data = orjson.dumps({"action": change.action, "rule": orjson.Fragment(change.rule)})
        return frame(Event(change.action, data, str(self._store.place(change.position))))


def _part_frame(links: bytes, *, last: bool, place: str) -> bytes:
    data = orjson.dumps({"links": orjson.Fragment(links), "last": last})
    return frame(Event("snapshot", data, place))


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run *works* until one of them ends, and raise what ended it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _nothing() -> None:
    """Return no snapshot."""
