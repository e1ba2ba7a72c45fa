"""One end of the pipe between an edge and a worker.

What is told waits in a bounded queue and goes out in order, so that neither
side ever waits for the other.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Self

from milepost.logs import get_log
from regional_logger.workers.messages import LINE_BYTES_MAX, Message, line_of, message_in

log = get_log(__name__)

WAITING_MAX = 10_000  # tellings: one message, or all links
SPARE_WAITING_MAX = 100  # news that a later one makes up for is not told beyond this
FLUSH_SECONDS_MAX = 2.0


class Pipe:
    """Tells and hears messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: deque[Iterable[Message]] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._send())

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Return the pipe whose one end is *end*, which it owns from here on."""
        end.setblocking(False)  # noqa: FBT003 - the standard library has it so
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LINE_BYTES_MAX))

    def tell(self, *messages: Message) -> bool:
        """Tell *messages*; return False if too much waits and they are not told."""
        return self.tell_all(messages)

    def tell_all(self, messages: Iterable[Message], *, waiting_max: int = WAITING_MAX) -> bool:
        """Tell *messages*, each made when its turn comes; return False if too much waits."""
        if self._closing or self._task.done():
            return True  # nobody is there to hear it
        if len(self._waiting) >= waiting_max:
            return False
        self._waiting.append(messages)
        self._wake.set()
        return True

    def mention(self, message: Message) -> None:
        """Tell *message* unless the other side is behind: a later one makes up for it."""
        self.tell_all((message,), waiting_max=SPARE_WAITING_MAX)

    async def messages(self) -> AsyncIterator[Message]:
        """Give what the other side tells, until it has gone."""
        while True:
            try:
                line = await self._reader.readline()
            except ValueError:  # longer than any of ours
                line = b"\n"
            except OSError:
                return
            if not line.endswith(b"\n"):
                return
            message = message_in(line)
            if message is None:
                log.warning("message.not_read", bytes=len(line))
            else:
                yield message

    async def close(self) -> None:
        """Let out what waits, then close."""
        self._closing = True
        self._wake.set()
        await asyncio.wait([self._task], timeout=FLUSH_SECONDS_MAX)
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _send(self) -> None:
        with contextlib.suppress(OSError):  # the other side has gone; whoever listens hears it
            while self._waiting or not self._closing:
                await self._wait()
                while self._waiting:
                    for message in self._waiting.popleft():
                        self._writer.write(line_of(message))
                        await self._writer.drain()

    async def _wait(self) -> None:
        self._wake.clear()
        if not self._waiting and not self._closing:
            await self._wake.wait()
