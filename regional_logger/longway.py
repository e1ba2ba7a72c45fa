"""The long way: what aiohttp reads for us, one request at a time, within limits of ours.

aiohttp bounds a line and the number of headers, but neither a whole head nor the
time in which it has to come, and it closes on bytes that it has not read, which
can take its answer with them.  So here

- a head goes to aiohttp up to its end and no further: where one request ends and
  the next begins is known, and what follows waits until the first is answered;
- nobody reads a body: a request that has one is the last on its connection, and
  what comes of it is dropped, up to a limit of bytes and time;
- an answer that ends a connection on somebody who still sends is followed by our
  end of the stream first, so that it arrives;
- what is not finished in time is ended by the one sweeper of the server.
"""

import asyncio
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from milepost.metrics import MALFORMED
from regional_logger.metrics import UNFINISHED

REQUEST_SECONDS = 8.0  # with the sweeper's step and a moment for the refusal: below 10
REFUSAL_SECONDS = 1.0  # for a refusal to be read, when the time was over before it
HEAD_BYTES_MAX = 16_384
DROPPED_BYTES_MAX = 1 << 20
SERVER_NAME = "milepost"

_HEAD_END = b"\r\n\r\n"
NEVER = 0.0  # by the loop's clock, which began long before any connection


class LongWay(RequestHandler):
    """aiohttp's protocol of one connection, with limits."""

    __slots__ = (
        *("_answering", "_began", "_behind", "_dropped", "_head_bytes", "_head_began"),
        *("_lingering", "_monotonic", "_over", "_refused", "_seen", "_unread", "_wire"),
    )

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **settings: Any) -> None:
        super().__init__(*args, loop=loop, **settings)
        self._monotonic = loop.time
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own when it closes it
        self._began = NEVER  # when what is unfinished now began
        self._head_began = NEVER
        self._head_bytes = 0  # of the current head, that aiohttp has
        self._seen = b""  # the last of those, which may be the beginning of its end
        self._behind = bytearray()  # came after the head that is being answered
        self._answering = False
        self._refused = False
        self._lingering = False  # all is said; what still comes is dropped
        self._dropped = 0
        self._over = False  # the visitor will send no more
        self._unread = NEVER  # since when the visitor leaves lying what we wrote

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a request within the time for one."""
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._began = self._monotonic()

    async def start(self) -> None:
        """Answer one request after the other, unless the connection has ended before the first."""
        if self.transport is not None:
            await super().start()

    def take(self, data: bytes) -> None:
        """Take what came, on a connection that is aiohttp's."""
        self._behind += data
        if self._answering:
            self._pause()
        else:
            self._read_on()

    def drop(self, data: bytes) -> None:
        """Take what comes when all is said."""
        if self._lingering:
            self._dropped += len(data)
            if self._dropped > DROPPED_BYTES_MAX and self._wire is not None:
                self._wire.close()

    def _read_on(self) -> None:
        """Give aiohttp as much of the current head as is here."""
        if self._behind and self._began == NEVER:
            self._began = self._monotonic()
            # aiohttp closes what is idle; this is not any more.
            self._next_keepalive_close_time = self._began + self.keepalive_timeout
        if self._head_bytes == 0 and self._behind.startswith((b"\r", b"\n")):
            self._behind = self._behind.lstrip(b"\r\n")  # an empty line before a request is none
        if not self._behind:
            return
        length, whole = self._measure()
        room = HEAD_BYTES_MAX - self._head_bytes
        piece = bytes(self._behind[: min(length, room)])
        del self._behind[: len(piece)]
        self._head_bytes += len(piece)
        self._seen = (self._seen + piece)[-3:]
        found = self._request_count
        try:
            super().data_received(piece)
        except Exception:  # noqa: BLE001 - aiohttp's reader stumbled over what a stranger sent
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        if self._request_count != found:
            self._head_bytes, self._seen, self._answering = 0, b"", True
            self._head_began, self._began = self._began, NEVER
        elif length > room:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif whole:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _measure(self) -> tuple[int, bool]:
        """Return how many of the bytes here belong to the current head, and whether it is whole."""
        joint = (self._seen + self._behind[:3]).find(_HEAD_END)
        if joint >= 0:
            return joint + len(_HEAD_END) - len(self._seen), True
        end = self._behind.find(_HEAD_END, 0, HEAD_BYTES_MAX + len(_HEAD_END))
        return (len(self._behind), False) if end < 0 else (end + len(_HEAD_END), True)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Answer, and see who comes next."""
        if request.body_exists:
            resp.force_close()
        finished, broken = await super().finish_response(request, resp, start_time)
        if not broken:
            self._answered_by_aiohttp(request, keep_alive=bool(finished.keep_alive))
        return finished, broken

    def _answered_by_aiohttp(self, request: web.BaseRequest, *, keep_alive: bool) -> None:
        self._answering = False
        if self._force_close or self._close or self._wire is None or self._wire.is_closing():
            return
        if request.body_exists or self._refused or (self._behind and not keep_alive):
            self._linger()
        elif keep_alive:
            self._read_on()
            if not (self._answering or self._wire.is_closing()):
                self._wire.resume_reading()  # not before: what is held has to stay little
            self.end_if_over()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what aiohttp has not read, or not to its end."""
        if self._wire is None or self._wire.is_closing():
            return
        MALFORMED.inc()
        body = f"{status.phrase}\n".encode()
        self._wire.write(
            b"HTTP/1.1 %d %b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
            b"Server: %b\r\nConnection: close\r\n\r\n%b"
            % (status, status.phrase.encode(), len(body), SERVER_NAME.encode(), body)
        )
        self._linger()

    def _linger(self) -> None:
        """End our side, and take what still comes: closing on it would undo the answer."""
        self._force_close = True  # thereby aiohttp ends its task, and leaves the transport to us
        self._lingering = True
        self._behind.clear()
        overdue = self._monotonic() - REQUEST_SECONDS
        self._began = max(self._began or self._head_began, overdue + REFUSAL_SECONDS)
        if self._wire is None or self._wire.is_closing():
            return
        if self._over:
            self._wire.close()
            return
        self._wire.write_eof()
        self._wire.resume_reading()

    def sweep(self, now: float) -> bool:
        """End this connection if its request is overdue, or its visitor does not read."""
        wire = self._wire
        if wire is None:
            return False
        if not (wire.get_write_buffer_size() or wire.is_closing()):
            self._unread = NEVER
        elif self._unread == NEVER:
            self._unread = now
        elif now - self._unread >= REQUEST_SECONDS:
            UNFINISHED.inc()
            wire.abort()
            return True
        if self._began == NEVER or now - self._began < REQUEST_SECONDS or wire.is_closing():
            return False
        if self._lingering:
            wire.close()
            return True
        UNFINISHED.inc()
        if self._head_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            wire.close()
        return True

    def _visitor_is_over(self) -> bool:
        """Note that no more will come; keep our side open while an answer is due."""
        self._over = True
        return self.waits()

    # aiohttp's says None, and so the transport closes even when an answer is still to come.
    eof_received: Any = _visitor_is_over

    def waits(self) -> bool:
        """Tell whether an answer is due."""
        return self._answering

    def end_if_over(self) -> None:
        """Close if nothing more will come and nothing is due."""
        if self._over and not self.waits() and self._wire is not None:
            self._wire.close()

    def _pause(self) -> None:
        if self._wire is not None and not self._wire.is_closing():
            self._wire.pause_reading()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse in one line; the connection ends with it."""
        del exc, message  # both hold what was sent
        MALFORMED.inc()
        if request.writer.output_size > 0:
            msg = "the answer has begun already"
            raise ConnectionError(msg)
        self._refused = True
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n")
        response.headers["Server"] = SERVER_NAME
        response.force_close()
        return response
