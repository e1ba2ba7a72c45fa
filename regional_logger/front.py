"""The server in front of visitors: aiohttp's own, with a quicker way for plain requests.

A connection begins on the quick way, where a plain GET is read and answered in
one buffer each.  With the first request that is anything else it becomes
aiohttp's, bytes and all, and stays so.

What the HTTP parser refuses is no visit.  It gets one plain line that repeats
nothing of the request, and it is counted; aiohttp would echo the bytes, name
its version, and log the peer's address.
"""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import NamedTuple, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDictProxy

from milepost.clock import Clock
from milepost.http import no_access_log, quiet_server_logger
from regional_logger.decide import UNDECIDED, Decision
from regional_logger.longway import NEVER, SERVER_NAME, LongWay
from regional_logger.metrics import REFUSED_CONNECTIONS
from regional_logger.quick import header_lines, is_host, parse_plain, write_answer
from regional_logger.sweeper import Sweeper
from regional_logger.waiting import Pending

KEEPALIVE_SECONDS = 75.0
PATIENCE = 0.5  # of the time for an orderly end, until nobody waits for the log any more
BAD_REQUEST = 400

REDIRECT_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Access-Control-Allow-Origin": "*",
    "Server": SERVER_NAME,
}
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/plain; charset=utf-8",
    "Server": SERVER_NAME,
}
HTML_HEADERS = {
    **PAGE_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_REDIRECT_LINES, _PAGE_LINES = header_lines(REDIRECT_HEADERS), header_lines(PAGE_HEADERS)
_HTML_LINES = header_lines(HTML_HEADERS)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Admitted(NamedTuple):
    """What a visit gets, and what it has to wait for first, if anything."""

    decision: Decision
    pending: Pending | None


Admit = Callable[[str, str, str, CIMultiDictProxy[str], str], Admitted]
"""(method, raw target, host, headers, peer) -> what the visit gets."""


@functools.lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    """Write a moment as an answer tells it; once a second is enough."""
    return formatdate(second, usegmt=True).encode()


def _page_lines(decision: Decision) -> bytes:
    return _HTML_LINES if decision.html else _PAGE_LINES


class Unsound(web.BaseRequest):
    """A request that aiohttp could read, and that is refused all the same."""


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    """Return the request that *message* is; aiohttp asks neither its version nor its Host."""
    host = message.headers.get("Host")  # there is but one: the parser sees to that
    if message.version in (HttpVersion10, HttpVersion11) and (host is None or is_host(host)):
        kind = web.BaseRequest
    else:
        # It would be answered in the version that it claims.
        kind, message = Unsound, message._replace(version=HttpVersion11)
    return kind(message, payload, protocol, writer, task, asyncio.get_running_loop())


class Front(web.Server):
    """Lets visits in by *admit*, or, where aiohttp must read them, answers with *answer*."""

    def __init__(
        self,
        answer: Answer,
        admit: Admit,
        let_all_go: Callable[[], None],
        *,
        connections_max: int,
        clock: Clock,
    ) -> None:
        super().__init__(self._answer_sound, request_factory=_make_request)
        self._answer = answer
        self.admit = admit
        self._let_all_go = let_all_go
        self.clock = clock
        self._connections_max = connections_max
        self._loop_here = asyncio.get_running_loop()
        self._sweeper = Sweeper(self._loop_here, self._own_connections)

    def __call__(self) -> RequestHandler:
        """Return the protocol of one connection."""
        return Connection(self, self._loop_here)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Let a visitor in, unless the descriptors that the log needs would be next."""
        super().connection_made(handler, transport)
        self._sweeper.watch()
        if len(self.connections) > self._connections_max:
            REFUSED_CONNECTIONS.inc()
            transport.abort()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's name
        """Let what waits be answered, before the time is over, then close."""
        patience = None
        if timeout is not None:
            patience = self._loop_here.call_later(timeout * PATIENCE, self._let_all_go)
        await asyncio.gather(*(each.finish(timeout) for each in self._own_connections()))
        await super().shutdown(timeout)
        if patience is not None:
            patience.cancel()
        self._sweeper.close()

    async def _answer_sound(self, request: web.BaseRequest) -> web.StreamResponse:
        """Refuse what aiohttp lets pass although it is no sound HTTP/1; answer the rest."""
        if isinstance(request, Unsound):
            return request.protocol.handle_error(request, BAD_REQUEST)
        return await self._answer(request)

    def _own_connections(self) -> list["Connection"]:
        return [each for each in self.connections if isinstance(each, Connection)]


class Connection(LongWay):
    """One visitor's connection."""

    __slots__ = ("_decision", "_front", "_held", "_peer", "_pending", "_quick")

    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            front,
            loop=loop,
            access_log=no_access_log(),
            logger=quiet_server_logger(),
            keepalive_timeout=KEEPALIVE_SECONDS,
            # Nobody reads a visitor's body; unpacking one would stop everybody else.
            auto_decompress=False,
        )
        self._front = front
        self._quick = True
        self._pending: Pending | None = None
        self._decision: Decision | None = None  # what goes out when nothing is pending
        self._held = b""
        self._peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who comes."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else ""

    def data_received(self, data: bytes) -> None:
        """Answer a plain request here, or hand the connection to aiohttp."""
        if self._close or self._force_close:
            self.drop(data)  # it is ending: what comes now is no visit any more
            return
        if self._pending is not None:
            # One at a time.  What comes meanwhile is held, and no more is read.
            self._held += data
            self._transport_here().pause_reading()
            return
        # A reader that does not read gets no more written for it: aiohttp waits for it.
        plain = parse_plain(data) if self._quick and not self._paused else None
        if plain is None:
            self._quick = False
            self.take(data)
            return
        self._began = NEVER  # it is whole
        # aiohttp closes what is idle, and sees no request of this way.
        self._next_keepalive_close_time = self._monotonic() + KEEPALIVE_SECONDS
        decision, pending = self._front.admit(
            "GET", plain.raw_target, plain.host, plain.headers, self._peer
        )
        if pending is None:
            if decision is UNDECIDED:  # its link is on disk, and aiohttp can wait for that
                self._quick = False
                self.take(data)
                return
            self._write(decision)
            return
        self._pending, self._decision = pending, decision
        pending.then = self._answered

    async def finish(self, seconds: float | None) -> None:
        """Return when what waits here is answered."""
        if self._pending is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._pending.over()
                self._answered()
            self._quick = False

    def _answered(self) -> None:
        """Answer who waited, whether the record is durable or late, and see who comes next."""
        decision, self._pending, self._decision = self._decision, None, None
        if decision is not None:
            self._write(decision)
        if self._held and self.transport is not None and not self.transport.is_closing():
            held, self._held = self._held, b""
            self._transport_here().resume_reading()
            self.data_received(held)
        self.end_if_over()

    def waits(self) -> bool:
        """Tell whether an answer is due, whichever way."""
        return self._pending is not None or super().waits()

    def _write(self, decision: Decision) -> None:
        if self.transport is not None and not self.transport.is_closing():
            lines = _REDIRECT_LINES if decision.target else _page_lines(decision)
            date = _date(self._front.clock.now() // 1000)
            self._transport_here().write(write_answer(decision, lines, date))

    def _transport_here(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self.transport)
