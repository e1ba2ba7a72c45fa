"""Whatever bytes come: nothing raises, and both ways through real HTTP say what `decide` says."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop
from hypothesis import example, given
from hypothesis import strategies as st

from milepost.stream.meter import read_meter
from regional_logger.decide import Rules, decide
from tests.edge.hostile import get
from tests.edge.kit import NOON, Edge
from tests.edge.raw import Answer, ask_raw, connected, read_head
from tests.edge.test_door import a_door, serving

HOST = "h.example"


class Served(NamedTuple):
    """A server on a thread, its rules, and what went wrong in its loop."""

    port: int
    rules: Rules
    faults: list[dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve an edge for all tests of this file, on the loop that production has."""
    folder = tmp_path_factory.mktemp("log")
    ready, over, told = threading.Event(), threading.Event(), list[Served]()
    thread = threading.Thread(target=uvloop.run, args=(serve(folder, told, ready, over),))
    thread.start()
    try:
        assert ready.wait(10)
        yield told[0]
    finally:
        over.set()
        thread.join(20)
    assert told[0].faults == []
    (meter,) = [read_meter(path) for path in folder.glob("*.meter")]
    assert sum(row.shed for row in meter.meter) == 0  # no record failed either


async def serve(
    folder: Path, told: list[Served], ready: threading.Event, over: threading.Event
) -> None:
    """Serve until *over*."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, about: faults.append(about))
    edge = Edge(folder)
    edge.learn_keys()
    await edge.journal.start()
    door = a_door(edge)
    async with serving(door) as url:
        told.append(Served(url.port or 0, door.rules, faults))
        ready.set()
        await asyncio.to_thread(over.wait)
    await edge.stop()


def ask(served: Served, data: bytes) -> Answer:
    """Ask over a connection of its own."""
    return asyncio.run(ask_raw(served.port, data))[0]


starts = st.sampled_from([b"", b"/", b"/e/", b"/e,", b"/e/example.com/", b"/e,a=b/http://a.b/"])


@given(starts, st.binary(max_size=60))
@example(b"/e/example.com/", b"%0d%0aX:%00 ")
@example(b"/", "é\u202e".encode())
@example(b"/promo", b"")
@example(b"/e/example.com/", b"#a?b#c%")
def test_both_ways_say_what_is_decided(served: Served, start: bytes, end: bytes) -> None:
    """Status and destination, byte for byte, for any bytes in a target."""
    target = start + end
    plain = get(target, host=HOST.encode())

    quick = ask(served, plain)
    long = ask(served, b"\r\n" + plain)  # an empty line is nothing, but it is not plain

    assert (quick.status, quick.headers.get(b"location")) == (
        long.status,
        long.headers.get(b"location"),
    )
    if b"\r" in target or b"\n" in target:
        return  # the rest of it is no target
    # Spaces around a target are aiohttp's to take; none of them is part of it.
    text = target.strip(b" ").decode("utf-8", "surrogateescape")
    decision = decide("GET", text, HOST, NOON, served.rules)
    assert long.status == decision.status
    assert long.headers.get(b"location", b"") == decision.target.encode("ascii")
    if decision.status < 400:
        assert long.body == decision.body.encode()


pieces = st.sampled_from(
    [
        *(
            b"GET / HTTP/1.1\r\n",
            b"Host: a\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b"\x00",
            b" ",
            b":",
            b"POST ",
        ),
        *(
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
        ),
        *(b"/e/example.com/a", b" HTTP/1.1\r\n", b"HTTP/1.0\r\n", b"Connection: close\r\n", b"abc"),
        *(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"GET "),
        *(
            b"CONNECT a:1 HTTP/1.1\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
            b"HEAD ",
            b"a" * 9_000,
            b"X: y\r\n",
        ),
    ]
)


@given(st.lists(pieces | st.binary(max_size=20), max_size=12))
def test_every_answer_to_anything_is_sound(served: Served, sent: list[bytes]) -> None:
    """And where no more is sent, the connection ends."""
    rest = asyncio.run(rest_of(served.port, b"".join(sent)))

    for head in rest.split(b"\r\n\r\n")[:-1]:
        read_head(b"HTTP/" + head.partition(b"HTTP/")[2])


async def rest_of(port: int, data: bytes) -> bytes:
    """Send *data* and no more; return all that comes."""
    async with connected(port) as raw:
        await raw.send(data)
        raw.send_no_more()
        return await asyncio.wait_for(raw.rest(), 3)
