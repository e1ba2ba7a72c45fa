"""Server-sent events."""

from collections.abc import AsyncIterator

import orjson
from hypothesis import given
from hypothesis import strategies as st

from milepost.sse import HEARTBEAT, Event, events, frame
from tests.kernel.kernel_values import json_values

names = st.text("abcdefgh", min_size=1, max_size=8)
told = st.builds(Event, names, json_values.map(orjson.dumps), st.just("") | names)


async def lines_of(*blocks: bytes) -> AsyncIterator[bytes]:
    """Give the lines of *blocks*, as a client does."""
    for line in b"".join(blocks).split(b"\n")[:-1]:
        yield line


async def read(*blocks: bytes) -> list[Event]:
    """Return the events in *blocks*."""
    return [event async for event in events(lines_of(*blocks))]


@given(st.lists(told, max_size=5))
async def test_events_come_back(sent: list[Event]) -> None:
    """With heartbeats between them, which nobody sees."""
    blocks = [frame(event) + HEARTBEAT for event in sent]

    assert await read(*blocks) == sent


async def test_lines_may_end_in_either_way() -> None:
    """A proxy may have put carriage returns in."""
    assert await read(b"event: a\r\ndata: 1\r\n\r\n") == [Event("a", b"1")]


async def test_several_data_lines_are_one_text() -> None:
    """Joined by a newline, as the standard has it."""
    assert await read(b"data: {\ndata:  1\ndata:}\n\n") == [Event("message", b"{\n 1\n}")]


async def test_an_event_that_was_cut_off_is_none() -> None:
    """Only the empty line makes an event true."""
    assert await read(b"event: a\ndata: 1\n") == []


async def test_an_id_is_of_its_event_alone() -> None:
    """A snapshot's first parts must not be taken for a position."""
    blocks = frame(Event("a", b"1", "7")) + frame(Event("b", b"2"))

    assert [event.id for event in await read(blocks)] == ["7", ""]


async def test_an_event_without_data_is_none() -> None:
    """Unknown fields, comments and blank lines say nothing."""
    assert await read(b"retry: 5\n\n", b": hello\n\n", b"\n\n", b"event: a\n\n") == []
