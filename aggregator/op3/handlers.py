"""`GET /api/1/hits` as OP3 answers it.

Rules of this file:
- A token in the address is read here, and goes nowhere else: nothing that a query holds
  is written to a log, and no error repeats it.
"""

from typing import Any

import orjson
from aiohttp import web

from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.op3.asked import TSV, read_asked
from aggregator.op3.finding import page_for
from aggregator.op3.rows import written
from aggregator.searching.handlers import told_of
from milepost.clock import Clock
from milepost.errors import ForbiddenError, ServiceError, TooManyError, UnauthorizedError
from milepost.http import NO_CONTENT, NOT_FOUND, SERVER_ERROR, Handler, guarded, principal_of
from milepost.tokens import BEARER, HITS_READ

BASE = "/api/1"
FORBIDDEN, METHOD_NOT_ALLOWED, PERMANENT = 403, 405, 308
READING = frozenset({"GET", "HEAD"})
ANYBODY = {"Access-Control-Allow-Origin": "*"}
PREFLIGHT = {
    **ANYBODY,
    "Access-Control-Allow-Methods": "*",
    # An asterisk does not stand for this one.
    "Access-Control-Allow-Headers": "*, Authorization",
}
MEDIA = {TSV: "text/tab-separated-values"}


def add_op3(app: web.Application, asker: Asker, clock: Clock, tagged: TaggedLinks) -> None:
    """Add the routes; *tagged* knows what a caller may see at most."""

    async def hits(request: web.Request) -> web.Response:
        begun = clock.now()
        asked = read_asked(told_of(request.query), begun)
        allowed = await tagged.narrowing(principal_of(request))
        rows = await asker.ask(lambda db, budget: page_for(db, asked, allowed, budget))
        took = max(clock.now() - begun, 0)
        return web.Response(
            body=written(rows, asked.form, with_asn=asked.with_asn, query_ms=took),
            content_type=MEDIA.get(asked.form, "application/json"),
            charset="utf-8" if asked.form == TSV else None,
            headers={"Cache-Control": "no-store", "x-query-time": str(took)},
        )

    async def moved(request: web.Request) -> web.Response:
        query = request.rel_url.raw_query_string
        where = f"{BASE}/hits?{query}" if query else f"{BASE}/hits"
        return web.Response(
            status=PERMANENT, headers={"Cache-Control": "no-store", "Location": where}
        )

    app.middlewares.insert(1, _open_to_pages)
    for path, handler in (("hits", hits), ("redirect-logs", moved)):
        checked = guarded(HITS_READ, handler, narrows=True, authorization=authorization_of)
        app.router.add_get(f"{BASE}/{path}", _told_as_there(checked))
        app.router.add_route("*", f"{BASE}/{path}", _not_that_way)
    app.router.add_route("*", f"{BASE}/{{rest:.*}}", _nothing_there)


def authorization_of(request: web.Request) -> str | None:
    """Return who calls: the header says it, or else `token` in the address does."""
    header = request.headers.get("Authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        return header
    token = request.query.get("token", "")
    return f"{BEARER}{token}" if token else None


@web.middleware
async def _open_to_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let pages of any origin ask: whoever does has to show a token all the same."""
    if not request.path.startswith(f"{BASE}/"):
        return await handler(request)
    if request.method == "OPTIONS":
        return web.Response(status=NO_CONTENT, headers=PREFLIGHT)
    response = await handler(request)
    response.headers.update(ANYBODY)
    return response


def _told_as_there(handler: Handler) -> Handler:
    """Tell errors of *handler* in OP3's shape."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except UnauthorizedError as error:
            if authorization_of(request) is None:
                return _json({"error": error.code}, error.status)
            return _json({"error": ForbiddenError.code}, FORBIDDEN)
        except ForbiddenError as error:
            return _json({"error": error.code}, FORBIDDEN)
        except ServiceError as error:
            if error.status >= SERVER_ERROR:
                raise
            response = _json({"message": str(error)}, error.status)
            if isinstance(error, TooManyError):
                response.headers["Retry-After"] = str(error.retry_after_seconds)
            return response

    return answered


async def _not_that_way(_request: web.Request) -> web.StreamResponse:
    response = _json({"error": "method not allowed"}, METHOD_NOT_ALLOWED)
    response.headers["Allow"] = ", ".join(sorted(READING | {"OPTIONS"}))
    return response


async def _nothing_there(_request: web.Request) -> web.StreamResponse:
    return _json({"error": "not found"}, NOT_FOUND)


def _json(value: Any, status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, option=orjson.OPT_INDENT_2),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
