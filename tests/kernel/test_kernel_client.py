"""The one HTTP client."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp import AiohttpServer

from milepost import client as module
from milepost.client import Client
from milepost.config import Secret
from milepost.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

TOKEN = Secret("milepost_token")


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer as the query asks."""
    status = int(request.query.get("status", "200"))
    return web.Response(
        status=status,
        body=request.query.get("body", "").encode(),
        headers={"Location": "/elsewhere"} if status == 302 else {},
    )


async def who(request: web.Request) -> web.Response:
    """Answer with the token that was shown."""
    return web.json_response(request.headers.get("Authorization"))


async def tagged(request: web.Request) -> web.Response:
    """Answer 304 to who has it already."""
    if request.headers.get("If-None-Match") == '"1"':
        return web.Response(status=304, headers={"ETag": '"1"'})
    return web.json_response({"wait_ms": request.query["wait_ms"]}, headers={"ETag": '"1"'})


async def slow_lines(request: web.Request) -> web.StreamResponse:
    """Send lines that are cut in the middle, then fall silent or end."""
    response = web.StreamResponse()
    await response.prepare(request)
    for piece in (b"on", b"e\ntw", b"o\n", b"cut"):
        await response.write(piece)
        await asyncio.sleep(0)
    if "silent" in request.query:
        await asyncio.sleep(0.5)
    return response


@pytest.fixture
async def server(aiohttp_server: AiohttpServer) -> TestServer:
    """Run a small service."""
    app = web.Application()
    app.router.add_get("/answer", answer)
    app.router.add_get("/who", who)
    app.router.add_get("/tagged", tagged)
    app.router.add_get("/lines", slow_lines)
    return await aiohttp_server(app)


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[Client]:
    """Lend a client of it."""
    async with Client.connect(str(server.make_url("/")), TOKEN) as client:
        yield client


async def test_nobody_there_is_unavailable() -> None:
    """And the text names the address that did not answer."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        async with Client.connect(url, TOKEN) as client:
            with pytest.raises(UnavailableError, match=url):
                await client.get("/")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, RejectedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_a_refusal_keeps_its_kind_and_words(
    status: int, kind: type[Exception], client: Client
) -> None:
    """An error crosses the wire: the caller catches what the callee raised."""
    params = {"status": str(status), "body": '{"detail": "because"}'}

    with pytest.raises(kind, match="because") as caught:
        await client.get("/answer", params)

    assert type(caught.value) is kind


@pytest.mark.parametrize("body", ["", "<html>", "[]", '"text"', "{}"])
async def test_a_refusal_without_words_names_its_status(body: str, client: Client) -> None:
    """Something between us and the service may have answered."""
    with pytest.raises(UnavailableError, match="status 502"):
        await client.get("/answer", {"status": "502", "body": body})


async def test_an_answer_that_is_no_json_is_unavailable(client: Client) -> None:
    """It may be a proxy's page; asking again may help."""
    with pytest.raises(UnavailableError, match="not JSON"):
        await client.get("/answer", {"body": "<html>"})


async def test_no_body_is_none(client: Client) -> None:
    """As after a deletion."""
    assert await client.get("/answer", {"status": "204"}) is None


async def test_a_token_is_not_carried_elsewhere(client: Client) -> None:
    """A redirect is not followed: only the configured service sees the token."""
    assert await client.get("/answer", {"status": "302"}) is None


async def test_the_token_is_shown(client: Client) -> None:
    """To the service that the client is for."""
    assert await client.get("/who") == "Bearer milepost_token"


async def test_an_oversized_answer_is_unavailable(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No service can fill another's memory."""
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 100)

    with pytest.raises(UnavailableError, match="more than 100 bytes"):
        await client.get("/answer", {"body": "x" * 101})


async def test_only_news_is_read_again(client: Client) -> None:
    """With the ETag at hand, nothing new is None and the same ETag."""
    first = await client.get_changed("/tagged", "", wait_seconds=1.5)
    second = await client.get_changed("/tagged", first[1], wait_seconds=1.5)

    assert first == ({"wait_ms": "1500"}, '"1"')
    assert second == (None, '"1"')


async def read_lines(client: Client, path: str, silence_seconds_max: float) -> list[bytes]:
    """Return the lines of an endless answer, until it ends."""
    async with client.stream(path, {}, silence_seconds_max=silence_seconds_max) as lines:
        return [line async for line in lines]


async def test_lines_are_whole_however_they_were_cut(client: Client) -> None:
    """What the network cut is joined; what has no end is left out."""
    assert await read_lines(client, "/lines", 5) == [b"one", b"two"]


async def test_too_long_a_silence_is_unavailable(client: Client) -> None:
    """A connection can die without a word."""
    with pytest.raises(UnavailableError):
        await read_lines(client, "/lines?silent=1", 0.05)


async def test_a_refused_stream_is_a_refusal(client: Client) -> None:
    """With the words of the service, like any other call."""
    with pytest.raises(ForbiddenError, match="because"):
        await read_lines(client, '/answer?status=403&body={"detail":"because"}', 5)
