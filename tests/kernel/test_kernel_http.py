"""The boundary, and the routes that every service has."""

import io
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from milepost.clock import SystemClock
from milepost.errors import (
    ConflictError,
    NotFoundError,
    RejectedError,
    ServiceError,
    TooLargeError,
    TooManyError,
    UnavailableError,
)
from milepost.health import Reasons, add_health
from milepost.http import (
    BODY_BYTES_MAX,
    Handler,
    guarded,
    json_body,
    json_response,
    limited,
    new_app,
    principal_of,
    quiet_server_logger,
)
from milepost.metrics import MALFORMED
from milepost.rate import Rate, RateLimit
from milepost.tokens import HITS_READ, PULL, Principal, TokenBook, token_hash
from milepost.vocabulary import Scope

Client = TestClient[web.Request, web.Application]

ERRORS: list[Exception] = [
    RejectedError("no"),
    NotFoundError("no"),
    ConflictError("no"),
    TooLargeError("no"),
    TooManyError("no"),
    UnavailableError("no"),
    ServiceError("no"),
]


def raising(error: Exception) -> Handler:
    """Return a handler that fails with *error*."""

    async def handler(_request: web.Request) -> web.Response:
        raise error

    return handler


async def whoami(request: web.Request) -> web.Response:
    """Answer with the caller's name."""
    return json_response({"name": principal_of(request).name})


async def echo(request: web.Request) -> web.Response:
    """Answer with what was sent."""
    return json_response(await json_body(request))


@pytest.fixture
async def client(aiohttp_client: AiohttpClient) -> Client:
    """Return a client of a small service."""
    book = TokenBook(
        [
            (token_hash("puller"), Principal("puller", frozenset({PULL}))),
            (token_hash("reader"), Principal("reader", frozenset({HITS_READ}))),
        ]
    )
    app = new_app(lambda size: b"\xab" * size, book)
    app.router.add_get("/guarded", guarded(PULL, whoami))
    once = RateLimit(Rate(per_second=0.5, burst=1))
    app.router.add_get("/limited", guarded(PULL, limited(once, SystemClock(), whoami)))
    app.router.add_post("/echo", echo)
    app.router.add_get("/crash", raising(ZeroDivisionError("the secret is 42")))
    for error in ERRORS:
        app.router.add_get(f"/{type(error).__name__}", raising(error))
    return await aiohttp_client(app)


async def problem(client: Client, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
    """Make a call that fails; return its problem document."""
    response = await client.request(method, path, **kwargs)
    document: dict[str, Any] = await response.json(content_type="application/problem+json")
    assert document["status"] == response.status
    assert set(document) == {"type", "title", "status", "detail", "code"}
    assert response.headers["Cache-Control"] == "no-store"
    return document


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows *token*."""
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("method", "path", "token", "expected"),
    [
        ("GET", "/absent", "", (404, "not_found")),
        ("GET", "/%ff%00", "", (404, "not_found")),
        ("DELETE", "/guarded", "puller", (405, "rejected")),
        ("GET", "/guarded", "", (401, "unauthorized")),
        ("GET", "/guarded", "stranger", (401, "unauthorized")),
        ("GET", "/guarded", "reader", (403, "forbidden")),
        ("GET", "/crash", "", (500, "internal")),
    ],
)
async def test_whatever_goes_wrong_is_a_problem_document(
    method: str, path: str, token: str, expected: tuple[int, str], client: Client
) -> None:
    """One shape of error, from the router's to our own (RFC 9457)."""
    headers = bearer(token) if token else {}

    told = await problem(client, method, path, headers=headers)

    assert (told["status"], told["code"]) == expected


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_an_expected_error_says_its_own_status(error: ServiceError, client: Client) -> None:
    """A handler raises; it never builds an error's answer itself."""
    told = await problem(client, "GET", f"/{type(error).__name__}")

    assert (told["status"], told["code"], told["detail"]) == (error.status, error.code, "no")


async def test_either_scope_lets_through(aiohttp_client: AiohttpClient) -> None:
    """Where a route serves two kinds of caller, each gets in with its own."""
    callers = {name: Principal(name, frozenset({Scope(name)})) for name in ("edge", "open", "pull")}
    book = TokenBook((token_hash(name), caller) for name, caller in callers.items())
    app = new_app(bytes, book)
    app.router.add_get("/", guarded(Scope("edge"), whoami, or_scope=Scope("open")))
    client = await aiohttp_client(app)

    statuses = [(await client.get("/", headers=bearer(name))).status for name in callers]

    assert statuses == [200, 200, 403]


async def test_a_crash_tells_the_caller_nothing(client: Client) -> None:
    """The traceback is in the log under the request's id, and nowhere else."""
    response = await client.get("/crash")
    body = await response.text()

    assert "42" not in body
    assert "Traceback" not in body
    assert response.headers["X-Request-Id"] == "ab" * 8


async def test_a_known_caller_with_the_scope_gets_through(client: Client) -> None:
    """The handler knows who called."""
    response = await client.get("/guarded", headers=bearer("puller"))

    assert await response.json() == {"name": "puller"}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("abc123", "abc123"),
        ("", "ab" * 8),
        ("a b", "ab" * 8),
        ("a\u00e4", "ab" * 8),
        ("a" * 65, "ab" * 8),
    ],
)
async def test_a_request_id_is_taken_over_when_it_is_one(
    given: str, used: str, client: Client
) -> None:
    """Log lines of several services can be joined, and nobody can write into them."""
    response = await client.get("/absent", headers={"X-Request-Id": given})

    assert response.headers["X-Request-Id"] == used


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"\xff", 400), (b" " * (BODY_BYTES_MAX + 1), 413)]
)
async def test_a_body_that_is_none_or_too_large(body: bytes, status: int, client: Client) -> None:
    """It is read to the limit and no further."""
    told = await problem(client, "POST", "/echo", data=io.BytesIO(body))

    assert told["status"] == status


def test_what_the_server_would_log_is_only_counted() -> None:
    """Its lines carry the peer's address and the request's bytes."""
    before = MALFORMED._value.get()

    quiet_server_logger().error("Error handling request from %s", "192.0.2.7")

    assert MALFORMED._value.get() == before + 1
    assert not quiet_server_logger().propagate


@pytest.mark.parametrize("reasons", [{}, {"keys": "no list of epochs yet"}])
async def test_a_service_says_how_it_is(reasons: Reasons, aiohttp_client: AiohttpClient) -> None:
    """Live while it answers; ready when nothing stands in the way, else with the reasons."""
    app = new_app(bytes)
    add_health(app, lambda: reasons)
    client = await aiohttp_client(app)

    live, ready = await client.get("/livez"), await client.get("/readyz")
    metrics = await (await client.get("/metrics")).text()

    assert live.status == 200
    assert ready.status == (503 if reasons else 200)
    assert await ready.json() == {"ready": not reasons, "reasons": reasons}
    assert "milepost_build_info" in metrics
    assert "milepost_http_requests_total" in metrics


async def test_who_asks_too_often_is_told_when_to_ask_again(client: Client) -> None:
    """By the header that every client knows."""
    headers = {"Authorization": "Bearer puller"}
    async with client.get("/limited", headers=headers) as response:
        assert response.status == 200
    async with client.get("/limited", headers=headers) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "2"
        assert (await response.json(content_type=None))["code"] == "too_many"


async def test_notes_do_not_make_a_service_unready(aiohttp_client: AiohttpClient) -> None:
    """A person should look into them; nobody has to wait for that."""
    app = new_app(bytes)
    add_health(app, dict, notes=lambda: {"destruction": "held back"})
    client = await aiohttp_client(app)

    ready = await client.get("/readyz")

    assert ready.status == 200
    assert await ready.json() == {
        "ready": True,
        "reasons": {},
        "notes": {"destruction": "held back"},
    }
