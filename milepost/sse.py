"""Server-sent events: writing one, and reading a stream of them.

Rules of this file:
- Pure.  Lines come from elsewhere.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from milepost.errors import UnavailableError

HEARTBEAT = b": still here\n\n"
EVENT_BYTES_MAX = 16 << 20


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is empty when it has none."""

    name: str
    data: bytes
    id: str = ""


def frame(event: Event) -> bytes:
    r"""Encode one event.

    JSON never holds a raw newline, so one `data:` line always suffices.
    """
    head = f"id: {event.id}\n".encode() if event.id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (head, event.name.encode(), event.data)


class EventReader:
    """Takes a stream's lines one by one; comments, such as heartbeats, are passed over."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._name, self._data, self._id = "message", b"", ""

    def take(self, raw: bytes) -> Event | None:
        """Take one more line; return the event that ends with it."""
        line = raw.removesuffix(b"\r")
        if not line:
            event = Event(self._name, self._data, self._id) if self._data else None
            self._begin()
            return event
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data" and len(self._data) + len(value) > EVENT_BYTES_MAX:
            msg = f"an event of more than {EVENT_BYTES_MAX} bytes"
            raise UnavailableError(msg)
        elif field == b"data":
            self._data = self._data + b"\n" + value if self._data else value
        elif field == b"id":
            self._id = value.decode("utf-8", "replace")
        return None


async def events(lines: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Read events from *lines*."""
    reader = EventReader()
    async for line in lines:
        event = reader.take(line)
        if event is not None:
            yield event


async def events_together(groups: AsyncIterator[list[bytes]]) -> AsyncIterator[list[Event]]:
    """Read events from *groups* of lines; those that arrived together stay together."""
    reader = EventReader()
    async for lines in groups:
        found = [event for event in map(reader.take, lines) if event is not None]
        if found:
            yield found
