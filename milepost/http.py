"""The boundary: where requests come in and errors become status codes.

Handlers raise ServiceErrors; `errors_as_json` is the only place that turns one
into an answer (RFC 9457).  A route that needs a token says which scope.
Where an application has `RATES`, every token has so many calls, and each answer to one says
what is left (draft-ietf-httpapi-ratelimit-headers).
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiohttp import web

from milepost.clock import Clock, Entropy
from milepost.errors import (
    ForbiddenError,
    InvariantError,
    NarrowedError,
    NotFoundError,
    RejectedError,
    ServiceError,
    StaleError,
    TooLargeError,
    TooManyError,
    UnauthorizedError,
)
from milepost.etags import etag_of
from milepost.logs import get_log
from milepost.metrics import MALFORMED, REQUEST_SECONDS, REQUESTS
from milepost.rate import Left, Rate, RateLimit, per_minute
from milepost.tokens import Principal, TokenBook
from milepost.vocabulary import Millis, Scope

log = get_log(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOKENS: web.AppKey[TokenBook] = web.AppKey("tokens", TokenBook)
PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)

NO_CONTENT, SERVER_ERROR = 204, 500
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405
REQUEST_ID_BYTES = 8
REQUEST_ID_CHARS_MAX = 64
BODY_BYTES_MAX = 1 << 20
# Whoever guesses tokens must not fill the log as well.
REFUSALS_LOGGED = Rate(per_second=0.2, burst=20, what="lines")

CORS_METHODS = "GET, HEAD, POST, PATCH, DELETE"
CORS_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, "
    "X-Request-Id"
)
CORS_SHOWN = (
    "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, "
    "Milepost-Next, Milepost-Previous, Milepost-Newer"
)
CORS_SECONDS = 600  # how long a browser may remember what a preflight said


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """Answer with *value* as JSON."""
    return web.Response(
        body=orjson.dumps(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def problem_json(error: ServiceError, *, status: int = 0) -> web.Response:
    """Answer with *error* as problem+json (RFC 9457); its own status unless another is given."""
    body = {
        "type": "about:blank",
        "title": error.title,
        "status": status or error.status,
        "detail": str(error),
        "code": error.code,
        **error.members(),
    }
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, StaleError):
        headers["ETag"] = etag_of(error.version)
    if isinstance(error, TooManyError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return web.Response(
        body=orjson.dumps(body),
        status=status or error.status,
        content_type="application/problem+json",
        headers=headers,
    )


async def json_body(request: web.Request) -> Any:
    """Return the request's JSON, or refuse."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        msg = f"the body is not JSON: {error}"
        raise RejectedError(msg) from error


def shown_by_header(request: web.Request) -> str | None:
    """Return what *request* shows of who sent it."""
    return request.headers.get("Authorization")


def guarded(
    scope: Scope,
    handler: Handler,
    *,
    or_scope: Scope | None = None,
    narrows: bool = False,
    rated: bool = True,
    authorization: Callable[[web.Request], str | None] = shown_by_header,
) -> Handler:
    """Let only callers whose token has *scope*, or *or_scope*, reach *handler*.

    *narrows*: the handler itself shows, and changes, only what the token is restricted to;
    others are for unrestricted tokens alone.  Without *rated* no rate is held against anybody.
    """
    scopes = (scope,) if or_scope is None else (scope, or_scope)

    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            principal = request.app[TOKENS].authenticate(authorization(request))
            if rated:
                _count(request, principal)
            principal.require(*scopes)
            if principal.narrowed and not narrows:
                msg = (
                    f"the token {principal.name!r} is restricted to {principal.restriction()}; "
                    "this call is about everything, so it wants a token without a restriction"
                )
                raise NarrowedError(msg)
        except (UnauthorizedError, ForbiddenError) as error:
            request.app[REFUSALS].note(request, error)
            raise
        request[PRINCIPAL] = principal
        return await handler(request)

    return checked


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each token may call: its own rate, or that of *limit*."""

    limit: RateLimit
    clock: Clock


RATES: web.AppKey[Rates] = web.AppKey("rates", Rates)
LEFT: web.RequestKey[Left] = web.RequestKey("left", Left)
POLICY = '"token"'


def _count(request: web.Request, principal: Principal) -> None:
    """Count a call against the token's rate, or refuse; services call as often as they must."""
    rates = request.app.get(RATES)
    if rates is None or principal.of_service:
        return
    who, now = principal.name, rates.clock.now()
    rate = None if principal.rate is None else per_minute(principal.rate)
    try:
        rates.limit.take(who, now, rate=rate)
    finally:
        request[LEFT] = rates.limit.left(who, now, rate)


async def _tell_rate(request: web.Request, response: web.StreamResponse) -> None:
    left = request.get(LEFT)
    if left is None:
        return
    rate = left.rate
    response.headers["RateLimit-Policy"] = f"{POLICY};q={rate.burst};w={rate.window_seconds}"
    response.headers["RateLimit"] = f"{POLICY};r={left.calls};t={left.seconds}"


def limit_calls(app: web.Application, limit: RateLimit, clock: Clock) -> None:
    """Hold a rate against every token that calls *app*, and tell it on each answer."""
    app[RATES] = Rates(limit, clock)
    app.on_response_prepare.append(_tell_rate)


def limited(limit: RateLimit, clock: Clock, handler: Handler) -> Handler:
    """Let each token reach *handler* as often as *limit* says.  Belongs inside `guarded`."""

    async def checked(request: web.Request) -> web.StreamResponse:
        limit.take(principal_of(request).name, clock.now())
        return await handler(request)

    return checked


def principal_of(request: web.Request) -> Principal:
    """Return who sent a request that `guarded` let through."""
    return request[PRINCIPAL]


def request_context(entropy: Entropy) -> Any:
    """Give each request an id that stands on each of its log lines."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-Id", "")
        usable = given.isascii() and given.isalnum() and len(given) <= REQUEST_ID_CHARS_MAX
        request_id = given if usable else entropy(REQUEST_ID_BYTES).hex()
        begun = time.monotonic()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = await handler(request)
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(method, str(response.status)).inc()
        REQUEST_SECONDS.observe(time.monotonic() - begun)
        if not response.prepared:
            response.headers["X-Request-Id"] = request_id
        return response

    return middleware


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn expected errors into answers, and our own mistakes into a logged 500."""
    try:
        return await handler(request)
    except ServiceError as error:
        if error.status >= SERVER_ERROR:  # a 404 is the caller's news, not ours
            log.warning("request.failed", code=error.code, reason=str(error), path=request.path)
        return problem_json(error)
    except web.HTTPException as error:
        if error.status == NOT_FOUND:
            return problem_json(NotFoundError(f"nothing at {request.path}"))
        if error.status == TooLargeError.status:
            return problem_json(TooLargeError(error.text or error.reason))
        problem = problem_json(RejectedError(error.reason), status=error.status)
        if error.status == METHOD_NOT_ALLOWED:
            problem.headers["Allow"] = error.headers["Allow"]
        return problem
    except InvariantError:
        raise
    except Exception:
        log.exception("request.crashed", path=request.path)
        return problem_json(ServiceError("see the service's log for this request id"))


def new_app(
    entropy: Entropy, tokens: TokenBook | None = None, *, body_bytes_max: int = BODY_BYTES_MAX
) -> web.Application:
    """Return an application with the middlewares that every service has."""
    app = web.Application(
        middlewares=[request_context(entropy), errors_as_json], client_max_size=body_bytes_max
    )
    app[REFUSALS] = Refusals()
    if tokens is not None:
        app[TOKENS] = tokens
    return app


def allow_origins(app: web.Application, origins: frozenset[str]) -> None:
    """Let pages of these *origins*, and no others, call *app* from a browser (CORS).

    An origin is allowed as it is written, or not at all.  Cookies are never asked
    for: a page has to show a token like everybody else.
    """
    if not origins:
        return

    async def name_origin(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Vary"] = "Origin"  # also on an answer to another: caches must ask again
        origin = request.headers.get("Origin", "")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = CORS_SHOWN

    app.on_response_prepare.append(name_origin)
    app.middlewares.insert(1, _preflights(origins))


def _preflights(origins: frozenset[str]) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        asks = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
        if request.method != "OPTIONS" or not asks:
            return await handler(request)
        if request.headers["Origin"] not in origins:
            return problem_json(ForbiddenError("pages of this origin may not call here"))
        return web.Response(
            status=NO_CONTENT,
            headers={
                "Access-Control-Allow-Methods": CORS_METHODS,
                "Access-Control-Allow-Headers": CORS_HEADERS,
                "Access-Control-Max-Age": str(CORS_SECONDS),
            },
        )

    return middleware


class Refusals:
    """Logs who was not let in: never the token, and only so many lines."""

    def __init__(self) -> None:
        self._limit = RateLimit(REFUSALS_LOGGED)
        self._silent = 0

    def note(self, request: web.Request, error: ServiceError) -> None:
        """Log that *request* was refused, unless there are too many lines already."""
        try:
            self._limit.take("", Millis(round(time.monotonic() * 1000)))
        except TooManyError:
            self._silent += 1
            return
        resource = request.match_info.route.resource
        log.warning(
            "access.refused",
            code=error.code,
            reason=str(error),
            call=f"{request.method} {resource.canonical if resource else ''}",
            not_logged_before=self._silent,
        )
        self._silent = 0


REFUSALS: web.AppKey[Refusals] = web.AppKey("refusals", Refusals)


class MalformedCounter(logging.Handler):
    """Counts what aiohttp's server would log.

    Its own lines carry the peer's address and the request's bytes, and neither
    may be written anywhere.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Count, and forget the line."""
        del record
        MALFORMED.inc()


def no_access_log() -> logging.Logger:
    """Return an access log that is off at every level: its lines begin with an address."""
    logger = logging.getLogger("milepost.http.access")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    return logger


def quiet_server_logger() -> logging.Logger:
    """Return the logger to give to every aiohttp server."""
    logger = logging.getLogger("milepost.http.server")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.handlers = [MalformedCounter()]
    return logger
