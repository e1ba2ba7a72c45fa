"""`GET /v1/live`: hits as server-sent events, in the order in which they arrive.

Nothing is queued for a subscriber: each has a bookmark, and is sent what is behind it.  One that
does not read is cut, and goes on later from the id of the last event it has.  Before
anything is sent, the token is looked at again.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import orjson
from aiohttp import web

from aggregator.access.narrowing import Narrowing
from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Budget
from aggregator.asking.filters import Filter, read_filters
from aggregator.live.arrivals import Arrivals
from aggregator.live.matching import Matcher
from aggregator.live.pieces import (
    Bookmark,
    Piece,
    newest_bookmark,
    piece_after,
    resumed_bookmark,
    written_bookmark,
)
from aggregator.metrics import LIVE_CUT, LIVE_SUBSCRIBERS
from aggregator.searching.handlers import seen_by, told_of
from milepost.clock import Clock
from milepost.errors import ForbiddenError, ServiceError, TooManyError, UnavailableError
from milepost.http import TOKENS, Handler, principal_of, shown_by_header
from milepost.logs import get_log
from milepost.sqlite import Connection
from milepost.sse import HEARTBEAT, Event, frame
from milepost.tokens import HITS_READ

log = get_log(__name__)

SUBSCRIBERS_MAX, OF_ONE_TOKEN_MAX = 100, 25
CATCHING_UP_MAX = 1  # at the same time: other questions have connections left
HEARTBEAT_SECONDS = 10.0
SEND_SECONDS_MAX = 30.0  # longest that one write may take to leave
WRITE_BYTES = 256 << 10  # at once, or one event if it is larger

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class Question:
    """What one subscriber wants to be told, and who it is."""

    def __init__(
        self, request: web.Request, filters: tuple[Filter, ...], tagged: TaggedLinks
    ) -> None:
        self.filters = filters
        self.who = principal_of(request)
        self._request = request
        self._tagged = tagged
        self._see(Narrowing(hosts=frozenset()))  # nothing, until it is looked at

    async def recheck(self) -> None:
        """Refuse if the token is not what it was; what it may see at most can have changed."""
        who = self._request.app[TOKENS].authenticate(shown_by_header(self._request))
        who.require(HITS_READ)
        if who != self.who:
            msg = "the token has changed: begin again"
            raise ForbiddenError(msg)
        allowed = await seen_by(self._request, self._tagged, self.filters)
        if allowed != self.narrowing:
            self._see(allowed)

    def _see(self, allowed: Narrowing) -> None:
        self.narrowing = allowed
        self.matcher = Matcher(self.filters, allowed)


class Live:
    """Everybody who follows the hits."""

    def __init__(
        self,
        asker: Asker,
        commits: Callable[[], int],
        clock: Clock,
        tagged: TaggedLinks,
        erased: Callable[[], int],
    ) -> None:
        self._asker = asker
        self._arrivals = Arrivals(asker, commits, clock, erased)
        self._tagged = tagged
        self._catching_up = asyncio.Semaphore(CATCHING_UP_MAX)
        self._subscribers: Counter[str] = Counter()
        self._closed = False

    async def reading(self, _app: web.Application) -> AsyncIterator[None]:
        """Read as long as the application runs."""
        reader = asyncio.create_task(self._arrivals.run())
        yield
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

    async def close(self, _app: web.Application) -> None:
        """End every stream, and take no further one."""
        self._closed = True
        self._arrivals.announce()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer one subscriber for as long as it listens."""
        question = Question(request, read_filters(told_of(request.query)), self._tagged)
        await question.recheck()
        with self._counted(question.who.name):
            at = await self._start(request.headers.get("Last-Event-ID", ""))
            response = web.StreamResponse(headers=HEADERS)
            await response.prepare(request)
            try:
                await self._follow(question, response, at)
            except TimeoutError:
                LIVE_CUT.inc()
                log.info("subscriber.dropped", send_seconds_max=SEND_SECONDS_MAX)
                if request.transport is not None:
                    request.transport.abort()  # an orderly end would wait for it to read
            except ConnectionError as error:
                log.info("subscriber.lost", reason=type(error).__name__)
        return response

    async def _start(self, last: str) -> Piece:
        if not last:
            return await self._asker.ask(newest_bookmark)

        def resumed(db: Connection, budget: Budget) -> Piece:
            return replace(newest_bookmark(db, budget), end=resumed_bookmark(db, last))

        return await self._asker.ask(resumed)

    async def _follow(
        self, question: "Question", response: web.StreamResponse, piece: Piece
    ) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()  # the first heartbeat tells where the stream begins
        while not self._closed:
            try:
                await question.recheck()
                takes = question.matcher.takes
                content = [each.content for each in piece.arrivals if takes(each.hit)]
                if content or loop.time() >= due:
                    content.append(_beat(piece))
                    due = loop.time() + HEARTBEAT_SECONDS
                await _send(response, content)
                news, bookmark = self._arrivals.news, piece.end
                piece = await self._next(question, bookmark)
                if piece.end == bookmark and not piece.more:
                    await _heard(news, due - loop.time())
            except ServiceError as error:
                await _send(response, [_ended(error)])
                return

    async def _next(self, question: "Question", bookmark: Bookmark) -> Piece:
        """Return what is behind *bookmark*: out of memory, or else out of the database."""
        piece = self._arrivals.after(bookmark)
        if piece is not None:
            return piece
        async with self._catching_up:
            return await self._asker.ask(
                lambda db, budget: piece_after(
                    db, bookmark, budget, question.filters, question.narrowing
                )
            )

    @contextlib.contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        following = self._subscribers
        if self._closed or following.total() >= SUBSCRIBERS_MAX:
            msg = "no further subscriber is taken now; ask again"
            raise UnavailableError(msg)
        if following[name] >= OF_ONE_TOKEN_MAX:
            msg = f"the token {name!r} follows {OF_ONE_TOKEN_MAX} times already"
            raise TooManyError(msg, retry_after_seconds=10)
        following[name] += 1
        self._arrivals.want(wanted=True)
        LIVE_SUBSCRIBERS.inc()
        try:
            yield
        finally:
            following[name] -= 1
            following += Counter()  # forgets those who do not follow any more
            self._arrivals.want(wanted=following.total() > 0)
            LIVE_SUBSCRIBERS.dec()


def live_handlers(
    app: web.Application,
    asker: Asker,
    commits: Callable[[], int],
    clock: Clock,
    tagged: TaggedLinks,
    *,
    erased: Callable[[], int] = int,
) -> Mapping[str, Handler]:
    """Return who answers as long as *app* runs.

    *commits* rises with what is made durable, and *erased* with the rules about what is not kept.
    """
    live = Live(asker, commits, clock, tagged, erased)
    app.cleanup_ctx.append(live.reading)
    app.on_shutdown.append(live.close)  # before the server waits for its open answers
    return {"follow_hits": live.stream}


async def _heard(news: asyncio.Event, seconds: float) -> None:
    """Wait for *news*, or until a heartbeat is due."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


async def _send(response: web.StreamResponse, content: Sequence[bytes]) -> None:
    """Write, and give up on a reader that does not read."""
    waiting: list[bytes] = []
    size = 0
    for each in content:
        waiting.append(each)
        size += len(each)
        if size >= WRITE_BYTES:
            await _write(response, b"".join(waiting))
            waiting, size = [], 0
    if waiting:
        await _write(response, b"".join(waiting))


async def _write(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await response.write(content)


def _beat(piece: Piece) -> bytes:
    """Return an event without data, which only moves the place to go on from."""
    bookmark = written_bookmark(piece.generation, piece.end)
    return b"%bid: %b\n\n" % (HEARTBEAT.removesuffix(b"\n"), bookmark.encode())


def _ended(error: ServiceError) -> bytes:
    return frame(Event("end", orjson.dumps({"code": error.code, "detail": str(error)})))
