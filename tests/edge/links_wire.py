"""The way between an edge and its registry, on which everything can happen to an answer.

It takes connections at an address of its own and passes on what it is not told to
cut, to keep back or to let through drop by drop.  What an edge asks always gets through.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Self

CHUNK_BYTES = 1 << 16


class Wire:
    """A port that leads to the port that *target* names; None: nobody is there."""

    def __init__(self, target: Callable[[], int | None]) -> None:
        self._target = target
        self._flowing = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.mend()

    @property
    def port(self) -> int:
        """Return where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Return the same as an address."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen meanwhile."""
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.hang_up()
            await asyncio.gather(*self._open, return_exceptions=True)

    def mend(self) -> None:
        """Let everything through, at once."""
        self.bytes_left: int | None = None  # of answers, until the connection is cut
        self.bytes_each: int | None = None  # what is left of the answer after each such cut
        self.trickle: tuple[int, float] | None = None  # so many bytes, then so many seconds
        self.refuses = False  # hang up on whoever comes
        self._flowing.set()

    def hold(self) -> None:
        """Keep back what is answered, for now."""
        self._flowing.clear()

    def release(self) -> None:
        """Deliver what was kept back."""
        self._flowing.set()

    def hang_up(self) -> None:
        """End every connection in the middle of whatever it does."""
        for task in self._open:
            task.cancel()

    def cut_after(self, count: int, *, each: int | None = None) -> None:
        """End the connection after *count* more bytes; the next ones after *each*, if told."""
        self.bytes_left, self.bytes_each = count, each

    def part(self) -> None:
        """Let nobody through any more."""
        self.refuses = True
        self.hang_up()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        # Also where it was told to end before it had begun.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back: asyncio.StreamWriter | None = None
        try:
            port = self._target()
            if self.refuses or port is None:
                return
            there, back = await asyncio.open_connection("127.0.0.1", port)
            asking = asyncio.create_task(_ask(reader, back))
            try:
                await self._answer(there, writer)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        except OSError:
            pass  # somebody has hung up
        finally:
            if back is not None:
                back.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(self.trickle[0] if self.trickle else CHUNK_BYTES):
            await self._flowing.wait()
            if self.bytes_left is not None:
                chunk = chunk[: self.bytes_left]
                self.bytes_left -= len(chunk)
            writer.write(chunk)
            await writer.drain()
            if self.bytes_left == 0:
                self.bytes_left = self.bytes_each
                await asyncio.sleep(0)  # the bytes before the cut still arrive
                return
            if self.trickle:
                await asyncio.sleep(self.trickle[1])


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
