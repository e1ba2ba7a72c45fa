"""Limits of a connection: time, bytes and order, for whatever aiohttp has to read."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest
from aiohttp.web_protocol import RequestHandler

from milepost.metrics import MALFORMED
from regional_logger import front, longway, sweeper
from regional_logger.front import Connection
from regional_logger.metrics import UNFINISHED
from regional_logger.sweeper import ENDINGS_MAX, Sweeper
from tests.edge.hostile import TARGET, get, request, whole
from tests.edge.kit import Edge
from tests.edge.raw import ask_raw, connected
from tests.edge.test_door import a_door, serving

MakeEdge = Callable[..., Edge]
LIMIT_SECONDS = 0.3
PAGE = get(b"/robots.txt")
POST = b"POST %b HTTP/1.1" % TARGET


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have less time than usual."""
    monkeypatch.setattr(longway, "REQUEST_SECONDS", LIMIT_SECONDS)
    monkeypatch.setattr(longway, "REFUSAL_SECONDS", 0.1)
    monkeypatch.setattr(sweeper, "SWEEP_SECONDS", 0.05)


@pytest.fixture
async def port(make_edge: MakeEdge) -> AsyncIterator[int]:
    """Serve a running edge that has its keys; lend its port."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    async with serving(a_door(edge)) as url:
        assert url.port
        yield url.port


async def test_every_tenth_hostile_request_is_answered(port: int) -> None:
    """With the answer that it deserves; the slow test asks all of them of a real edge."""
    for case in whole()[::10]:
        answer, _ = await ask_raw(port, case.data)
        assert answer.status in case.statuses, case.name


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"", []),
        (b"\r\n", []),
        (b"GET", [408]),
        (get()[:-1], [408]),
        (get() + b"GET / HT", [302, 408]),
        (request(POST, b"Content-Length: 9")[:-2], [408]),
        (request(POST, b"Content-Length: 9"), [302]),
        (request(POST, b"Content-Length: 9") + b"12345", [302]),
        (request(POST, b"Transfer-Encoding: chunked") + b"5\r\nhel", [302]),
        (b"GET / HTTP/9.9\r\n", [400]),
    ],
)
@pytest.mark.usefixtures("short")
async def test_what_is_not_finished_in_time_is_ended(
    port: int, sent: bytes, statuses: list[int]
) -> None:
    """What was whole is answered, what was begun is told so, and then it is over."""
    async with connected(port) as raw:
        begun = time.monotonic()
        await raw.send(sent)
        for status in statuses:
            assert (await raw.answer()).status == status
        assert await asyncio.wait_for(raw.rest(), 5) == b""
        assert time.monotonic() - begun < LIMIT_SECONDS + 1


@pytest.mark.usefixtures("short")
async def test_a_trickle_gets_no_more_time(port: int) -> None:
    """A byte now and then does not begin the time anew."""
    before = UNFINISHED._value.get()
    async with connected(port) as raw:

        async def trickle() -> None:
            for byte in get(TARGET, b"X: " + b"a" * 500):
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.02)

        begun = time.monotonic()
        trickling = asyncio.create_task(trickle())
        answer = await raw.answer()
        seconds = time.monotonic() - begun
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)

    assert answer.status == 408
    assert seconds < LIMIT_SECONDS + 1
    assert UNFINISHED._value.get() == before + 1


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("first", [PAGE, PAGE.replace(b"GET", b"HEAD")])
async def test_between_requests_a_connection_may_be_idle(port: int, first: bytes) -> None:
    """For as long as the server keeps connections, whichever way it has been going."""
    async with connected(port) as raw:
        for data in (first, PAGE):
            await raw.send(data)
            answer = await raw.answer(bodiless=data.startswith(b"HEAD"))
            assert answer.status == 200
            await asyncio.sleep(LIMIT_SECONDS + 0.1)


async def test_a_request_that_has_begun_is_not_idle(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not cut in the middle because the connection was idle before."""
    monkeypatch.setattr(front, "KEEPALIVE_SECONDS", 0.5)
    half = get()[:20]
    async with connected(port) as raw:
        for _ in range(2):
            await raw.send(half)
            await asyncio.sleep(0.3)
            await raw.send(get()[20:])
            assert (await raw.answer()).status == 302
            await asyncio.sleep(0.3)


async def test_what_follows_waits_for_its_turn(port: int) -> None:
    """A pile of requests is answered in order, cut wherever it may be."""
    count = 60
    pile = b"".join(get(b"%b%d" % (TARGET, number)) for number in range(count))
    for size in (7, 100, 1_000, len(pile)):
        async with connected(port) as raw:
            for at in range(0, len(pile), size):
                await raw.send(pile[at : at + size])
            answers = [await raw.answer() for _ in range(count)]
        places = [answer.headers[b"location"] for answer in answers]
        assert places == [b"https://example.com/a%d" % number for number in range(count)]


async def test_no_more_is_held_than_has_come_at_once(make_edge: MakeEdge) -> None:
    """A pile of requests waits at its sender, not here, while one after the other is answered."""
    edge = make_edge()
    server = a_door(edge).server()
    connection = server()
    assert isinstance(connection, Connection)
    transport = Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    connection.connection_made(transport)
    connection.data_received(PAGE * 5)
    connection.data_received(PAGE)
    await asyncio.sleep(0.05)

    assert transport.pause_reading.call_count == 1
    assert transport.resume_reading.call_count == 1
    await server.shutdown(0.1)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 500", b"Transfer-Encoding: chunked", b"Content-Length: 5"]
)
async def test_a_request_with_a_body_is_the_last_one(port: int, framing: bytes) -> None:
    """What comes after its head is never read as a request, whoever says how long it is."""
    async with connected(port) as raw:
        await raw.send(request(POST, framing) + get() * 5)
        answer = await raw.answer()
        rest = await asyncio.wait_for(raw.rest(), 1)

    assert (answer.status, answer.headers[b"connection"]) == (302, b"close")
    assert rest == b""


async def test_a_body_without_end_is_cut_off(port: int) -> None:
    """After some bytes that the visitor may need to hear the answer."""
    async with connected(port) as raw:
        await raw.send(request(POST, b"Content-Length: 1000000000"))
        await raw.answer()
        sending = asyncio.create_task(raw.send(b"a" * 50_000_000))
        await asyncio.wait_for(sending, 5)  # ends because the connection does

        assert await raw.rest() == b""


@pytest.mark.parametrize("data", [get(), request(b"HEAD %b HTTP/1.1" % TARGET), get()[:20]])
async def test_who_sends_no_more_is_still_answered(make_edge: MakeEdge, data: bytes) -> None:
    """Whichever way; half a request is not."""
    edge = make_edge(budget_seconds=0.2)
    await edge.journal.start()  # without keys nothing is committed, so the answer is late
    async with serving(a_door(edge)) as url:
        assert url.port
        async with connected(url.port) as raw:
            await raw.send(data)
            raw.send_no_more()
            rest = await asyncio.wait_for(raw.rest(), 3)

    assert rest.count(b" 302 Found\r\n") == data.endswith(b"\r\n\r\n")


async def test_a_refusal_arrives_however_much_was_sent(port: int) -> None:
    """Closing on bytes that are not read would take the answer back."""
    for _ in range(20):
        answer, _ = await ask_raw(port, get(TARGET, *(b"a: b",) * 100_000))
        assert answer.status in (400, 431)


async def test_a_reader_that_stumbles_costs_nobody_an_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever aiohttp's parser raises, it is about what was sent."""
    before = MALFORMED._value.get()

    def stumble(*_: object) -> None:
        msg = "planted"
        raise ValueError(msg)

    monkeypatch.setattr(RequestHandler, "data_received", stumble)
    answer, _ = await ask_raw(port, b"GET / HTTP/1.1\r\n")

    assert (answer.status, answer.body) == (400, b"Bad Request\n")
    assert MALFORMED._value.get() == before + 1


async def test_one_too_many_leaves_no_trace(
    make_edge: MakeEdge, caplog: pytest.LogCaptureFixture
) -> None:
    """A task that aiohttp begins a task for it would end with an error in the log."""
    door = replace(a_door(make_edge()), connections_max=0)
    async with serving(door) as url:
        assert url.port
        for _ in range(5):
            async with connected(url.port) as raw:
                assert await raw.rest() == b""

    assert "exception" not in caplog.text


async def test_who_does_not_read_is_ended(make_edge: MakeEdge) -> None:
    """Not at once, not while it goes on, but after the time that a request has."""
    server = a_door(make_edge()).server()
    connection = server()
    assert isinstance(connection, Connection)
    transport = Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    transport.get_write_buffer_size.return_value = 10
    connection.connection_made(transport)
    connection.data_received(PAGE)
    now = asyncio.get_running_loop().time()

    assert not connection.sweep(now)
    transport.get_write_buffer_size.return_value = 0
    assert not connection.sweep(now + longway.REQUEST_SECONDS)
    transport.get_write_buffer_size.return_value = 10
    assert not connection.sweep(now + longway.REQUEST_SECONDS + 1)
    assert not transport.abort.called
    assert connection.sweep(now + longway.REQUEST_SECONDS * 2 + 1)
    assert transport.abort.called
    await server.shutdown(0.1)


class Late:
    """A connection that is always overdue."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def sweep(self, now: float) -> bool:
        """Note when it was looked at."""
        self.times.append(now)
        return True


@pytest.mark.usefixtures("short")
async def test_a_crowd_is_ended_bit_by_bit() -> None:
    """So that those who are not overdue are served in between; and with nobody there it rests."""
    crowd = [Late() for _ in range(ENDINGS_MAX * 3)]
    watching = Sweeper(
        asyncio.get_running_loop(), lambda: [each for each in crowd if not each.times]
    )
    watching.watch()
    await asyncio.sleep(0.3)

    assert all(len(each.times) == 1 for each in crowd)
    assert len({each.times[0] for each in crowd}) == 3
    assert watching._timer is None
    watching.close()
