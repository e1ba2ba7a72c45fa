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


async def events(lines: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """Read events from *lines*; comments, such as heartbeats, are passed over."""
    name, data, event_id = "message", b"", ""
    async for raw in lines:
        line = raw.removesuffix(b"\r")
        if not line:
            if data:
                yield Event(name, data, event_id)
            name, data, event_id = "message", b"", ""
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"data" and len(data) + len(value) > EVENT_BYTES_MAX:
            msg = f"an event of more than {EVENT_BYTES_MAX} bytes"
            raise UnavailableError(msg)
        elif field == b"data":
            data = data + b"\n" + value if data else value
        elif field == b"id":
            event_id = value.decode("utf-8", "replace")
