"""The public door and the private one, over real sockets."""

import asyncio
import contextlib
import gzip
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request, ServerRunner, TCPSite
from yarl import URL

from milepost.clock import SystemClock
from milepost.links import Link
from milepost.metrics import MALFORMED
from milepost.seal import open_body
from milepost.stream.meter import read_meter
from milepost.tokens import ACKNOWLEDGE, PULL, Principal, TokenBook, token_hash
from milepost.visitor import visitor_hash
from milepost.vocabulary import LinkId, Millis, Region, Scope
from regional_logger.app import private_app
from regional_logger.decide import Rules
from regional_logger.door import Door
from tests.edge.kit import FAR, Edge

MakeEdge = Callable[..., Edge]
MakeClient = Callable[..., Awaitable[TestClient[Request, Application]]]
PROMO = Link(id=LinkId("l1"), host="*", path="/promo", destination="https://example.com/p")
OLD = Link(
    id=LinkId("l2"), host="*", path="/old", destination="https://example.com/", expires_ms=Millis(1)
)
LINKS = {link.path: link for link in (PROMO, OLD)}


def a_door(edge: Edge) -> Door:
    """Return a door to *edge* that knows a link, and one that has expired."""
    return Door(
        region=Region("dfw"),
        rules=Rules(find_link=lambda _host, path: LINKS.get(path)),
        keyring=edge.keyring,
        journal=edge.journal,
        clock=SystemClock(),
        addresses="missing",
        client_ip="peer",
        connections_max=100,
        draw_key=b"chance",
    )


@contextlib.asynccontextmanager
async def serving(door: Door, seconds: float = 60.0) -> AsyncIterator[URL]:
    """Serve *door* as an edge does; lend its address.  The end may take *seconds*."""
    runner = ServerRunner(door.server(), shutdown_timeout=seconds)
    await runner.setup()
    await TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield URL.build(scheme="http", host="127.0.0.1", port=runner.addresses[0][1])
    finally:
        await runner.cleanup()


@pytest.fixture
async def visit(edge: Edge) -> AsyncIterator[ClientSession]:
    """Lend a session towards the door of *edge*."""
    async with serving(a_door(edge)) as base_url, ClientSession(base_url) as session:
        yield session


async def test_a_redirect_leaves_after_its_record_is_on_disk(
    edge: Edge, visit: ClientSession
) -> None:
    """Status, headers, and a record whose hash is the caller's."""
    raw = URL("/e/example.com/a.mp3?x=%2F", encoded=True)
    async with visit.get(raw, allow_redirects=False) as response:
        headers = response.headers

    (batch,) = (await edge.pull()).batches
    (record,) = open_body(batch.header, batch.records, edge.keys.record_secret).records
    assert response.status == 302
    assert headers["Location"] == "https://example.com/a.mp3?x=%2F"
    assert headers["Cache-Control"] == "private, no-cache"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert record.path == "/e/example.com/a.mp3?x=%2F"
    assert record.visitor == visitor_hash(edge.keys.salt, "127.0.0.1")


async def test_a_link_and_an_orphan(edge: Edge, visit: ClientSession) -> None:
    """Both are remembered, one leads somewhere."""
    async with visit.get("/promo", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, PROMO.destination)
    async with visit.get("/nowhere") as response:
        assert response.status == 404

    assert [record.kind for record in await edge.records()] == ["link", "orphan"]


async def test_a_malformed_prefix_is_one_plain_line(visit: ClientSession) -> None:
    """A sentence, not a page, and not remembered."""
    async with visit.get("/e/nonsense") as response:
        text = await response.text()

    assert response.status == 400
    assert response.content_type == "text/plain"
    assert text.count("\n") == 1


async def test_the_visitor_does_not_wait_for_a_log_that_stalls(make_edge: MakeEdge) -> None:
    """When the budget is over the redirect goes, and the record is counted late."""
    edge = make_edge(budget_seconds=0.02)
    await edge.journal.start()  # without keys nothing is committed
    door = a_door(edge)
    async with (
        serving(door) as base_url,
        ClientSession(base_url) as session,
        session.get("/promo", allow_redirects=False) as response,
    ):
        assert response.status == 302

    edge.learn_keys()
    await asyncio.sleep(0.3)
    await edge.journal.close()
    tallies = [batch.header.tally for batch in (await edge.pull()).batches]

    assert sum(tally.count(",1,1,0,0]") + tally.count(",0,1,0,0]") for tally in tallies) == 1


async def test_a_body_is_never_unpacked(visit: ClientSession) -> None:
    """What a visitor sends along costs nothing, not even when it lies about its form."""
    bomb = gzip.compress(bytes(20_000_000))
    headers = {"Content-Encoding": "gzip"}
    async with visit.post("/promo", data=bomb, headers=headers, allow_redirects=False) as response:
        assert response.status == 302
    headers = {"Content-Encoding": "br"}
    async with visit.post("/promo", data=b"no", headers=headers, allow_redirects=False) as response:
        assert response.status == 302


async def test_one_connection_too_many_is_closed(edge: Edge) -> None:
    """Those that are there stay."""
    door = replace(a_door(edge), connections_max=1)
    async with serving(door) as base_url:
        assert base_url.port
        first = await asyncio.open_connection("127.0.0.1", base_url.port)
        second = await asyncio.open_connection("127.0.0.1", base_url.port)
        refused = await read_end(second[0])
        first[1].write(b"GET /promo HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await first[0].readline()
        first[1].close()
        second[1].close()

    assert refused == b""
    assert b" 302 " in answer


async def read_end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes before the connection ends, however it ends."""
    with contextlib.suppress(ConnectionError):
        return await reader.read(100)
    return b""


async def test_a_record_that_fails_costs_no_redirect(
    edge: Edge, visit: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted as shed."""

    def fail(*_: object, **__: object) -> None:
        msg = "planted"
        raise RuntimeError(msg)

    monkeypatch.setattr("regional_logger.door.remember", fail)

    async with visit.get("/promo", allow_redirects=False) as response:
        assert response.status == 302

    life = read_meter(edge.meter.path)
    assert [(row.accepted, row.shed) for row in life.meter] == [(0, 1)]


async def test_what_the_parser_refuses_is_counted_and_never_logged(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's own line would carry the peer's address."""
    before = MALFORMED._value.get()
    async with serving(a_door(edge)) as base_url:
        reader, writer = await asyncio.open_connection("127.0.0.1", base_url.port)
        writer.write(b"GET / HTTP/9.9 what\r\n\r\n")
        answer = await reader.read(1_000)
        writer.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert body == b"Bad Request\n"
    assert b"aiohttp" not in head
    assert MALFORMED._value.get() > before
    assert "127.0.0.1" not in caplog.text
    assert not logging.getLogger("milepost.http.server").propagate


def a_book() -> TokenBook:
    """Return a book with a reader that may pull and one that may also acknowledge."""
    return TokenBook(
        [
            (token_hash("puller"), Principal("puller", frozenset({PULL}))),
            (token_hash("both"), Principal("both", frozenset({PULL, ACKNOWLEDGE}))),
            (token_hash("other"), Principal("other", frozenset({Scope("x")}))),
        ]
    )


@pytest.mark.parametrize(
    ("token", "acknowledged", "status"),
    [
        (None, False, 401),
        ("wrong", False, 401),
        ("other", False, 403),
        ("puller", False, 200),
        ("puller", True, 403),
        ("both", True, 200),
    ],
)
async def test_who_may_pull(
    edge: Edge,
    aiohttp_client: MakeClient,
    token: str | None,
    acknowledged: bool,  # noqa: FBT001
    status: int,
) -> None:
    """Reading and acknowledging are scopes of their own; every refusal is problem+json."""
    app = private_app(tokens=a_book(), handover=edge.handover, reasons=dict, entropy=edge.entropy)
    client = await aiohttp_client(app)
    body: dict[str, object] = {"reader": ["agg", 1]}
    if acknowledged:
        body |= {"acknowledged": {"00" * 16: [1, "00" * 32]}}
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    response = await client.post("/v1/pull", json=body, headers=headers)

    assert response.status == status
    if status != 200:
        assert response.content_type == "application/problem+json"
        assert (await response.json())["status"] == status


@pytest.mark.parametrize("body", ["", "[]", '{"reader": 1}', '{"reader": ["a", -1]}'])
async def test_a_pull_that_is_nonsense_is_refused(
    edge: Edge, aiohttp_client: MakeClient, body: str
) -> None:
    """With a 400 that says what is wanted."""
    app = private_app(tokens=a_book(), handover=edge.handover, reasons=dict, entropy=edge.entropy)
    client = await aiohttp_client(app)

    response = await client.post("/v1/pull", data=body, headers={"Authorization": "Bearer puller"})

    assert response.status == 400
    assert "detail" in await response.json()


def test_far_is_later_than_now() -> None:
    """The epoch of these tests covers the clock of this machine."""
    assert SystemClock().now() < FAR
