"""The feed: every change of a link, told to every edge in its order.

A subscriber is one loop that asks for the page after its own place and writes it.
Nothing is queued for it in memory, so one that reads slowly costs a page, and holds
up nobody.  Who does not read at all is cut, and resumes.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

from aiohttp import web

from link_registry.metrics import CUT, SNAPSHOTS, SUBSCRIBERS
from link_registry.news import News
from link_registry.packing import HEADER, takes_gzip
from link_registry.pages import CHANGES_BEHIND_MAX, Pages, Piece, continuing
from link_registry.paging import refuse_unknown
from link_registry.store import LinkStore
from milepost.clock import Clock
from milepost.errors import ServiceError, UnavailableError
from milepost.links import FeedPlace, feed_place
from milepost.logs import get_log
from milepost.sse import HEARTBEAT
from milepost.vocabulary import Position

log = get_log(__name__)

SUBSCRIBERS_MAX = 1_000
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS_MAX = 30.0  # longest that one page may take to leave

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "Vary": "Accept-Encoding",
}
BEAT = Piece(HEARTBEAT)
NO_OTHERS: Mapping[str, Position] = {}


def resumes_at(
    asked: str, newest: FeedPlace, earlier: Mapping[str, Position] = NO_OTHERS
) -> FeedPlace | None:
    """Return the place that the Last-Event-ID *asked* resumes from; None: only a snapshot helps.

    A position of another history means nothing here, unless this one goes on from it,
    and then up to its end; one beyond that shows that this database was set back.
    """
    place = feed_place(asked)
    if place is None:
        return None
    end = newest.position if place.history == newest.history else earlier.get(place.history)
    if end is None or place.position > end:
        return None
    return place if newest.position - place.position <= CHANGES_BEHIND_MAX else None


class Feed:
    """Everybody who follows, and what they share.

    The history is this process's own, so who says to have been told more of it is wrong, and
    gets a snapshot like anybody else who cannot resume.
    """

    def __init__(self, store: LinkStore, news: News, clock: Clock) -> None:
        self._store = store
        self._news = news
        self._clock = clock
        self._pages = Pages(store, news)
        self._closed = asyncio.Event()
        self._subscribers = 0

    def close(self) -> None:
        """End every subscriber's stream, and take no further one."""
        self._closed.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer one subscriber for as long as it listens."""
        refuse_unknown(request.query)
        gzip = takes_gzip(request.headers.get("Accept-Encoding", ""))
        response = web.StreamResponse(
            headers=HEADERS | ({"Content-Encoding": "gzip"} if gzip else {})
        )
        with self._counted():
            await response.prepare(request)
            subscriber = Subscriber(response, gzip=gzip)
            asked = request.headers.get("Last-Event-ID", "")
            try:
                await self._until_closed(self._serve(subscriber, asked))
            except TimeoutError:
                CUT.inc()
                log.info("subscriber.dropped", send_seconds_max=SEND_SECONDS_MAX)
                if request.transport is not None:
                    request.transport.abort()  # an orderly end would wait for it to read
            except (ConnectionError, ServiceError) as error:
                # The answer has begun: all that can be said is that it ends here.
                log.info("subscriber.lost", reason=type(error).__name__)
        return response

    async def _serve(self, subscriber: "Subscriber", asked: str) -> None:
        await subscriber.begin()
        place = await self._resumed(subscriber, asked)
        if place is None:
            place = await self._send_snapshot(subscriber)
        while True:
            news = self._news.next()
            while page := await self._pages.after(place):
                await subscriber.send(page.piece)
                place = page.end
            if not await self._heard(news):
                await subscriber.send(BEAT)

    async def _resumed(self, subscriber: "Subscriber", asked: str) -> FeedPlace | None:
        newest = self._store.place(await self._store.position())
        held = resumes_at(asked, newest, self._store.fence.earlier)
        if held is None or held.history == newest.history:
            return held
        place = FeedPlace(newest.history, held.position)
        await subscriber.send(continuing(held, place))
        return place

    async def _send_snapshot(self, subscriber: "Subscriber") -> FeedPlace:
        snapshot = await self._pages.snapshot()
        SNAPSHOTS.inc()
        for piece in snapshot.pieces:
            await subscriber.send(piece)
        return snapshot.place

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


class Subscriber:
    """One open answer."""

    def __init__(self, response: web.StreamResponse, *, gzip: bool) -> None:
        self._response = response
        self._gzip = gzip

    async def begin(self) -> None:
        """Write what stands before everything else."""
        if self._gzip:
            await self._write(HEADER)

    async def send(self, piece: Piece) -> None:
        """Write, and give up on a reader that does not read."""
        await self._write(piece.content(gzip=self._gzip))

    async def _write(self, content: bytes) -> None:
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self._response.write(content)


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
