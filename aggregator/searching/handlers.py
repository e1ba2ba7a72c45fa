"""`GET /v1/hits`: rows, page by page; and `GET /v1/export`: all of them."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from multidict import MultiMapping

from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.asking.filters import EVERYTHING, Narrowing
from aggregator.searching.exporting import Export
from aggregator.searching.paging import Page, Shape, page_of
from aggregator.searching.question import (
    SELECTING,
    SHAPE,
    Told,
    choice,
    read_question,
    read_selection,
    refuse_unknown,
)
from aggregator.searching.rows import (
    CSV,
    JSON,
    JSONL,
    MEDIA,
    PARQUET,
    TEXTUAL,
    TSV,
    read_columns,
)
from milepost.clock import Clock
from milepost.errors import ServiceError, TooManyError
from milepost.http import guarded
from milepost.logs import get_log
from milepost.tokens import HITS_READ

log = get_log(__name__)

FORMATS = (JSON, JSONL, CSV, TSV)
EXPORT_FORMATS = (JSONL, CSV, TSV, PARQUET)
EXPORTS_MAX = 2  # at the same time: other questions have connections left
# Of each piece of an export; a piece without rows is no end.
PIECE = Allowance(rows=200_000, seconds=60)


def add_hits(
    app: web.Application,
    asker: Asker,
    clock: Clock,
    *,
    narrowing: Callable[[web.Request], Narrowing] = lambda _request: EVERYTHING,
) -> None:
    """Add the routes; *narrowing* tells what a caller may see at most."""
    running = asyncio.Semaphore(EXPORTS_MAX)

    async def hits(request: web.Request) -> web.Response:
        told = told_of(request.query)
        question = read_question(told, clock.now())
        shape = Shape(form=choice(told, "format", FORMATS), names=read_columns(told))
        allowed = narrowing(request)
        page = await asker.ask(lambda db, budget: page_of(db, question, allowed, budget, shape))
        return web.Response(
            body=page.body,
            content_type=MEDIA[shape.form],
            charset="utf-8" if shape.form in TEXTUAL else None,
            headers={"Cache-Control": "no-store", **_cursor_headers(page)},
        )

    async def export(request: web.Request) -> web.StreamResponse:
        told = told_of(request.query)
        refuse_unknown(told, (*SELECTING, *SHAPE))
        form = choice(told, "format", EXPORT_FORMATS)
        selection = read_selection(told, clock.now())
        if running.locked():
            msg = f"{EXPORTS_MAX} exports are running already"
            raise TooManyError(msg, retry_after_seconds=10)
        async with running:
            exported = Export(selection, narrowing(request), form, read_columns(told))
            return await _send(request, exported, asker, form)

    app.router.add_get("/v1/hits", guarded(HITS_READ, hits))
    app.router.add_get("/v1/export", guarded(HITS_READ, export), allow_head=False)


async def _send(
    request: web.Request, exported: Export, asker: Asker, form: str
) -> web.StreamResponse:
    """Send piece after piece, each when the one before it has been taken."""
    response = web.StreamResponse(
        headers={
            "Content-Type": MEDIA[form] + ("; charset=utf-8" if form in TEXTUAL else ""),
            "Content-Disposition": f'attachment; filename="hits.{form}"',
            "Cache-Control": "no-store",
        }
    )
    content = await asker.ask(exported.piece, allowance=PIECE)  # refusals come before a byte
    await response.prepare(request)
    try:
        await response.write(content)
        while not exported.done:
            await response.write(await asker.ask(exported.piece, allowance=PIECE))
    except (ConnectionError, ServiceError) as error:
        # The head has gone, and what has come must not look whole.
        log.warning("export.broken_off", reason=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def told_of(query: MultiMapping[str]) -> Told:
    """Return every parameter with its values in their order."""
    return {name: query.getall(name) for name in dict.fromkeys(query)}


def _cursor_headers(page: Page) -> dict[str, str]:
    """Return where the neighbouring pages are, which lines of text do not tell."""
    return {
        f"Milepost-{name.capitalize()}": cursor
        for name, cursor in page.cursors._asdict().items()
        if cursor is not None
    }
