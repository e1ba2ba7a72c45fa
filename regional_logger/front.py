"""The server in front of visitors: aiohttp's own, minus what it would tell and log.

What the HTTP parser refuses is no visit.  It gets one plain line that repeats
nothing of the request, and it is counted; aiohttp would echo the bytes, name
its version, and log the peer's address.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from milepost.http import no_access_log, quiet_server_logger
from milepost.metrics import MALFORMED
from regional_logger.metrics import REFUSED_CONNECTIONS

KEEPALIVE_SECONDS = 75.0
SERVER_NAME = "milepost"

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Front(web.Server):
    """Answers with *answer*, and refuses in its own words."""

    def __init__(self, answer: Answer, *, connections_max: int) -> None:
        super().__init__(answer)
        self._loop_here = asyncio.get_running_loop()
        self._connections_max = connections_max

    def __call__(self) -> RequestHandler:
        """Return the protocol of one connection."""
        return Connection(
            self,
            loop=self._loop_here,
            access_log=no_access_log(),
            logger=quiet_server_logger(),
            keepalive_timeout=KEEPALIVE_SECONDS,
            # Nobody reads a visitor's body; unpacking one would stop everybody else.
            auto_decompress=False,
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Let a visitor in, unless the descriptors that the log needs would be next."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._connections_max:
            REFUSED_CONNECTIONS.inc()
            transport.abort()


class Connection(RequestHandler):
    """One visitor's connection."""

    __slots__ = ()

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
        response = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n")
        response.headers["Server"] = SERVER_NAME
        response.force_close()
        return response
