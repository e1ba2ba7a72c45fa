"""A client that sends bytes as they are, and looks at every byte that comes back."""

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

HEAD_END = b"\r\n\r\n"
PIECE_BYTES = 65_536

_STATUS = re.compile(rb"HTTP/1\.[01] ([2-4][0-9]{2}) [A-Za-z -]+")
_HEADER = re.compile(rb"([A-Za-z-]+): ([\x20-\x7e]*)")
_KNOWN = frozenset(
    {
        *(b"cache-control", b"access-control-allow-origin", b"access-control-allow-methods"),
        *(b"access-control-allow-headers", b"server", b"content-type", b"content-length"),
        *(b"location", b"date", b"connection"),
        *(b"content-security-policy", b"x-content-type-options", b"x-robots-tag"),
    }
)


class Answer(NamedTuple):
    """What came back: the head, taken apart and found sound, and the body."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Raw:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._come = b""

    async def send(self, data: bytes) -> None:
        """Send as much of *data* as the other side will take."""
        with contextlib.suppress(ConnectionError):
            await self._loop.sock_sendall(self._socket, data)

    def send_no_more(self) -> None:
        """End this side of the stream."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """Return the next answer; *bodiless* ones only tell a length."""
        while HEAD_END not in self._come:
            self._come += await self._piece() or _nothing_more(self._come)
        head, _, self._come = self._come.partition(HEAD_END)
        status, headers = read_head(head)
        length = 0 if bodiless else int(headers.get(b"content-length", b"0"))
        while len(self._come) < length:
            self._come += await self._piece() or _nothing_more(self._come)
        body, self._come = self._come[:length], self._come[length:]
        return Answer(status, headers, body)

    async def rest(self) -> bytes:
        """Return what comes until the connection ends, however it ends."""
        while piece := await self._piece():
            self._come += piece
        come, self._come = self._come, b""
        return come

    async def _piece(self) -> bytes:
        try:
            return await self._loop.sock_recv(self._socket, PIECE_BYTES)
        except ConnectionError:
            return b""


def _nothing_more(come: bytes) -> bytes:
    msg = f"the connection ended after {come!r}"
    raise AssertionError(msg)


def read_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Take the head of an answer apart; nothing may stand in it that is not ours."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    assert status is not None, first
    headers = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        assert found is not None, line
        assert found[1].lower() in _KNOWN, line
        assert found[1].lower() not in headers, line
        headers[found[1].lower()] = found[2]
    return int(status[1]), headers


@contextlib.asynccontextmanager
async def connected(port: int, address: str = "127.0.0.1") -> AsyncIterator[Raw]:
    """Lend a connection that comes from *address*."""
    with socket.socket() as connection:
        connection.setblocking(False)  # noqa: FBT003 - the library's signature
        connection.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        yield Raw(connection)


async def ask_raw(port: int, data: bytes, address: str = "127.0.0.1") -> tuple[Answer, float]:
    """Send *data*; return the first answer, and after how many seconds it came."""
    async with connected(port, address) as raw:
        begun = time.monotonic()
        sending = asyncio.create_task(raw.send(data))
        answer = await raw.answer(bodiless=data.startswith(b"HEAD "))
        seconds = time.monotonic() - begun
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return answer, seconds
