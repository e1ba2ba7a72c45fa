"""Pages in a browser, and who is not let in."""

from collections.abc import Awaitable, Callable

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from milepost.http import REFUSALS_LOGGED, allow_origins, guarded, json_response, new_app
from milepost.tokens import HITS_READ, PULL, Principal, TokenBook, token_hash

OURS, OTHER = "https://app.test", "https://app.test.evil.test"
Client = TestClient[web.Request, web.Application]
Make = Callable[[frozenset[str]], Awaitable[Client]]


async def _answer(_request: web.Request) -> web.StreamResponse:
    return json_response({})


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    return response


@pytest.fixture
def make(aiohttp_client: AiohttpClient) -> Make:
    """Return a maker of services that some origins may call."""

    async def made(origins: frozenset[str]) -> Client:
        reader = Principal("reader", frozenset({HITS_READ}))
        app = new_app(bytes, TokenBook([(token_hash("good"), reader)]))
        allow_origins(app, origins)
        app.router.add_get("/open", _answer)
        app.router.add_get("/stream", _stream)
        app.router.add_get("/closed", guarded(PULL, _answer))
        return await aiohttp_client(app)

    return made


@pytest.mark.parametrize("path", ["/open", "/stream", "/closed", "/nowhere"])
async def test_a_listed_origin_may_read_every_answer(make: Make, path: str) -> None:
    """Streams and problems too; never with cookies, and never by a star."""
    client = await make(frozenset({OURS}))
    answer = await client.get(path, headers={"Origin": OURS})

    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [OTHER, "null", "https://APP.test", "http://app.test", "*", ""])
async def test_another_origin_may_read_none(make: Make, origin: str) -> None:
    """An origin is allowed as it is written; a cache keeps the two answers apart."""
    client = await make(frozenset({OURS}))
    answer = await client.get("/open", headers={"Origin": origin})

    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


async def test_a_preflight_needs_no_token(make: Make) -> None:
    """A browser sends none with it; it learns what it may send, and for how long."""
    client = await make(frozenset({OURS}))
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}
    answer = await client.options("/closed", headers={"Origin": OURS, **asks})
    refused = await client.options("/closed", headers={"Origin": OTHER, **asks})

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == OURS
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert {"Authorization", "If-Match"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers


async def test_without_a_list_nothing_is_different(make: Make) -> None:
    """A service that no page may call does not even say so."""
    client = await make(frozenset())
    answer = await client.get("/open", headers={"Origin": OURS})
    asks = {"Origin": OURS, "Access-Control-Request-Method": "GET"}

    assert "Vary" not in answer.headers
    assert (await client.options("/open", headers=asks)).status == 405


async def test_a_method_that_is_not_there_names_those_that_are(make: Make) -> None:
    """As every client may expect of a 405 (RFC 9110)."""
    answer = await (await make(frozenset())).put("/open")

    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}


async def test_who_is_not_let_in_is_logged_without_the_token(make: Make) -> None:
    """So that guessing is seen; and only so often, so that it does not fill the disk."""
    client = await make(frozenset())
    with structlog.testing.capture_logs() as lines:
        for token in ["guessed-secret"] * 30 + ["good"]:
            await client.get("/closed", headers={"Authorization": f"Bearer {token}"})
    refused = [line for line in lines if line["event"] == "access.refused"]

    assert len(refused) == REFUSALS_LOGGED.burst
    assert refused[0]["code"] == "unauthorized"
    assert refused[0]["call"] == "GET /closed"
    assert "guessed-secret" not in str(lines)


async def test_a_missing_scope_is_logged_with_the_name(make: Make) -> None:
    """A name is no secret, and says whom to ask."""
    client = await make(frozenset())
    with structlog.testing.capture_logs() as lines:
        await client.get("/closed", headers={"Authorization": "Bearer good"})

    assert [line["code"] for line in lines] == ["forbidden"]
    assert "'reader'" in lines[0]["reason"]
    assert "good" not in str(lines)
