"""The quick way for plain requests: the same answers as the long way, and only for those."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from unittest.mock import Mock

import pytest
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDictProxy
from yarl import URL

from milepost.stream.meter import read_meter
from regional_logger import front as front_module
from regional_logger.front import Connection
from regional_logger.metrics import LATE
from regional_logger.quick import BYTES_MAX, parse_plain
from tests.edge.kit import Edge
from tests.edge.test_door import a_door, serving

MakeEdge = Callable[..., Edge]
PLAIN = (
    b"GET /e/example.com/a?x=%2F HTTP/1.1\r\nHost: click.example\r\nUser-Agent: A/1 (b; c)\r\n"
    b"DNT: 0\r\nX-Other: anything\r\nConnection: keep-alive\r\n\r\n"
)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-2],
        PLAIN + b"G",
        PLAIN.replace(b"GET", b"POST"),
        PLAIN.replace(b"GET", b"get"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"/e/example.com", b"http://example.com"),
        PLAIN.replace(b"/e/example.com", b"/e/ex ample.com"),
        PLAIN.replace(b"/e/example.com", "/e/exämple.com".encode()),
        PLAIN.replace(b"Host: click.example\r\n", b""),
        PLAIN.replace(b"DNT: 0", b"Host: other.example"),
        PLAIN.replace(b"DNT: 0", b"Content-Length: 0"),
        PLAIN.replace(b"DNT: 0", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"DNT: 0", b"Expect: 100-continue"),
        PLAIN.replace(b"DNT: 0", b"Upgrade: h2c"),
        PLAIN.replace(b"keep-alive", b"close"),
        PLAIN.replace(b"DNT: 0", b"Connection: close"),
        PLAIN.replace(b"DNT: 0", b"Proxy-Connection: close"),
        PLAIN.replace(b"DNT: 0", b"DNT : 0"),
        PLAIN.replace(b"DNT: 0", b" folded"),
        PLAIN.replace(b"DNT: 0", b"DNT: 0\x00"),
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"anything", b"a" * BYTES_MAX),
        b"",
    ],
)
def test_what_is_not_exactly_plain_is_left_to_aiohttp(data: bytes) -> None:
    """In whatever respect it differs."""
    assert parse_plain(PLAIN) is not None
    assert parse_plain(data) is None


def test_a_header_is_found_by_its_whole_name() -> None:
    """Not where its name ends another's, and not inside a value."""
    data = PLAIN.replace(b"X-Other: anything", b"X-Range: 1\r\nX-A: Referer: no\r\nreferer: yes \t")

    plain = parse_plain(data)

    assert plain is not None
    assert "Range" not in plain.headers
    assert plain.headers.getall("Referer") == ["yes"]


def test_a_browser_goes_the_quick_way() -> None:
    """What it sends beside the usual changes nothing about the request."""
    data = PLAIN.replace(b"X-Other: anything", b"Upgrade-Insecure-Requests: 1\r\nAccept: */*")

    assert parse_plain(data) is not None


names = st.sampled_from(
    [
        *("Host", "host", "User-Agent", "Referer", "DNT", "Sec-GPC", "X-Forwarded-For", "X-Y"),
        *("Range", "Content-Type", "Content-Length", "ETag", "Connection", "Expect", "Server"),
    ]
)
values = st.text(st.characters(min_codepoint=0, max_codepoint=0x17F), max_size=30)
targets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7F), max_size=40)


@given(targets, st.lists(st.tuples(names, values), max_size=6))
def test_what_is_taken_means_the_same_to_aiohttp(
    target: str, headers: list[tuple[str, str]]
) -> None:
    """Target and headers, for whatever bytes come."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "x"), *headers])
    data = f"GET /{target} HTTP/1.1\r\n{lines}\r\n".encode()

    plain = parse_plain(data)

    if plain is None:
        return
    message = read_by_aiohttp(data)
    assert message.path == plain.raw_target
    for name in ("Host", "User-Agent", "Referer", "DNT", "Sec-GPC", "X-Forwarded-For", "Range"):
        assert message.headers.getall(name, []) == plain.headers.getall(name, [])


def read_by_aiohttp(data: bytes) -> RawRequestMessage:
    """Return what aiohttp's own parser makes of *data*."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(Mock(), loop, 65_536, max_line_size=8190, max_field_size=8190)
        [(message, _payload)], upgraded, tail = parser.feed_data(data)
    except HttpProcessingError as error:
        raise AssertionError(data) from error
    finally:
        loop.close()
    assert not upgraded
    assert tail == b""
    return message


@pytest.fixture
async def base_url(make_edge: MakeEdge) -> AsyncIterator[URL]:
    """Serve a running edge that has its keys."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    async with serving(a_door(edge)) as url:
        yield url


async def ask(url: URL, *pieces: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Send *pieces* one after the other; return status line, headers without Date, body."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.02)
    head = await reader.readuntil(b"\r\n\r\n")
    status, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in lines}
    headers.pop(b"date")
    body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    writer.close()
    return status, headers, body


@pytest.mark.parametrize(
    "target",
    [
        *("/e/example.com/a?x=%2F", "/promo", "/promo+", "/old", "/nothing", "/e/bad"),
        *("/", "/robots.txt"),
    ],
)
async def test_both_ways_give_the_same_answer(base_url: URL, target: str) -> None:
    """A request in one piece goes the quick way, in two pieces the long one."""
    data = b"GET %b HTTP/1.1\r\nHost: click.example\r\n\r\n" % target.encode()

    quick = await ask(base_url, data)
    long = await ask(base_url, data[:20], data[20:])

    plain_type = {b"content-type": b"application/octet-stream"}  # aiohttp's, of no body
    assert quick[0].split()[:2] == long[0].split()[:2]
    assert quick[2] == long[2]
    assert plain_type | quick[1] == plain_type | long[1]


async def test_requests_on_one_connection_are_answered_in_their_order(base_url: URL) -> None:
    """However they arrive: one by one, together, plain or not."""
    paths = [b"/e/example.com/%d" % number for number in range(6)]
    requests = [b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths]
    reader, writer = await asyncio.open_connection(base_url.host, base_url.port)
    writer.write(requests[0])
    await asyncio.sleep(0)
    writer.write(requests[1])
    writer.write(requests[2] + requests[3])
    await asyncio.sleep(0.05)
    writer.write(requests[4][:10])
    await asyncio.sleep(0.02)
    writer.write(requests[4][10:] + requests[5])

    answers = [await reader.readuntil(b"\r\n\r\n") for _ in requests]
    writer.close()

    places = [path.removeprefix(b"/e/") for path in paths]
    assert all(b"https://" + place in answer for place, answer in zip(places, answers, strict=True))


async def test_who_waits_is_answered_before_the_server_goes(make_edge: MakeEdge) -> None:
    """A drain ends no visit in the middle."""
    edge = make_edge(budget_seconds=0.2)
    await edge.journal.start()  # without keys nothing is committed
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(a_door(edge)))
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(PLAIN)
        await asyncio.sleep(0.05)
    answer = await reader.read(1_000)
    writer.close()

    assert b" 302 " in answer


@pytest.mark.parametrize("data", [PLAIN, PLAIN.replace(b"GET", b"HEAD")])
async def test_nobody_who_waits_is_cut_by_the_end(make_edge: MakeEdge, data: bytes) -> None:
    """Whichever way: who would wait longer than the end may take is answered late, and counted."""
    edge = make_edge(budget_seconds=30.0)
    await edge.journal.start()  # without keys nothing is committed
    late = LATE._value.get()
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(a_door(edge), seconds=0.5))
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(data)
        await asyncio.sleep(0.05)
    answer = await reader.read(1_000)
    writer.close()

    assert b" 302 " in answer
    assert LATE._value.get() == late + 1


async def test_a_busy_connection_stays_and_a_silent_one_goes(
    make_edge: MakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for which a connection may be idle begins anew with each request."""
    monkeypatch.setattr(front_module, "KEEPALIVE_SECONDS", 0.2)
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    async with serving(a_door(edge)) as url:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        for _ in range(8):
            await asyncio.sleep(0.07)
            writer.write(PLAIN)
            assert b" 302 " in await reader.readuntil(b"\r\n\r\n")
        rest = await asyncio.wait_for(reader.read(), 3)
        writer.close()

    assert rest == b""


async def test_what_comes_after_the_end_has_begun_is_no_visit(make_edge: MakeEdge) -> None:
    """Nothing is recorded that nobody will be answered for; what waits is answered."""
    edge = make_edge(budget_seconds=0.3)
    await edge.journal.start()  # without keys nothing is committed
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(a_door(edge)))
        pairs = [await asyncio.open_connection(url.host, url.port) for _ in range(3)]
        pairs[0][1].write(PLAIN)
        pairs[1][1].write(PLAIN)
        await asyncio.sleep(0.05)
        pairs[1][1].write(PLAIN)  # is held while the first one waits
        closing = asyncio.create_task(stack.aclose())
        await asyncio.sleep(0.05)
        pairs[2][1].write(PLAIN)
        answers = [await read_all(reader) for reader, _ in pairs]
        await closing
        for _, writer in pairs:
            writer.close()

    assert [answer.count(b" 302 ") for answer in answers] == [1, 1, 0]
    assert sum(row.accepted for row in read_meter(edge.meter.path).meter) == 2


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection ends, however it ends."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


async def test_who_does_not_read_gets_no_more_written(make_edge: MakeEdge) -> None:
    """Such a connection becomes aiohttp's, which waits for its reader."""
    front = a_door(make_edge()).server()
    connection = front()
    assert isinstance(connection, Connection)
    transport = Mock(spec=asyncio.Transport)
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False
    connection.connection_made(transport)
    plain_page = PLAIN.replace(b"/e/example.com/a?x=%2F", b"/robots.txt")

    connection.data_received(plain_page)
    assert transport.write.call_count == 1
    connection.pause_writing()
    connection.data_received(plain_page)

    assert transport.write.call_count == 1
    await front.shutdown(0.1)


async def test_a_peer_without_an_address_is_answered(make_edge: MakeEdge) -> None:
    """The visitor comes first."""
    edge = make_edge()
    door = replace(a_door(edge), connections_max=5)

    admitted = door.admit("GET", "/promo", "x", parse_plain_headers(), "")

    assert admitted.decision.status == 302


def parse_plain_headers() -> CIMultiDictProxy[str]:
    """Return the headers of the plain request."""
    plain = parse_plain(PLAIN)
    assert plain is not None
    return plain.headers
