"""`GET /v1/hits`: rows, page by page; and `GET /v1/export`: all of them."""

import asyncio
from collections.abc import Iterable, Mapping

from aiohttp import web
from multidict import MultiMapping

from aggregator.access.narrowing import Narrowing
from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.asking.filters import Filter, named
from aggregator.searching.exporting import Export
from aggregator.searching.paging import Page, Shape, page_of
from aggregator.searching.question import (
    Told,
    choice,
    read_question,
    read_selection,
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
from milepost.http import Handler, principal_of
from milepost.logs import get_log

log = get_log(__name__)

FORMATS = (JSON, JSONL, CSV, TSV)
EXPORT_FORMATS = (JSONL, CSV, TSV, PARQUET)
EXPORTS_MAX = 2  # at the same time: other questions have connections left
SEND_SECONDS_MAX = 300.0  # that a caller may take for one piece: others wait for its place
# Of each piece of an export; a piece without rows is no end.
PIECE = Allowance(rows=200_000, seconds=60)


def search_handlers(asker: Asker, clock: Clock, tagged: TaggedLinks) -> Mapping[str, Handler]:
    """Return who answers; *tagged* knows what a caller may see at most."""
    running = asyncio.Semaphore(EXPORTS_MAX)

    async def hits(request: web.Request) -> web.Response:
        told = told_of(request.query)
        question = read_question(told, clock.now())
        shape = Shape(form=choice(told, "format", FORMATS), names=read_columns(told))
        allowed = await seen_by(request, tagged, question.selection.filters)
        page = await asker.ask(lambda db, budget: page_of(db, question, allowed, budget, shape))
        return web.Response(
            body=page.body,
            content_type=MEDIA[shape.form],
            charset="utf-8" if shape.form in TEXTUAL else None,
            headers={"Cache-Control": "no-store", **_cursor_headers(page)},
        )

    async def export(request: web.Request) -> web.StreamResponse:
        told = told_of(request.query)
        form = choice(told, "format", EXPORT_FORMATS)
        selection = read_selection(told, clock.now())
        if running.locked():
            msg = f"{EXPORTS_MAX} exports are running already"
            raise TooManyError(msg, retry_after_seconds=10)
        async with running:
            allowed = await seen_by(request, tagged, selection.filters)
            exported = Export(selection, allowed, form, read_columns(told))
            return await _send(request, exported, asker, form)

    return {"list_hits": hits, "export_hits": export}


async def seen_by(
    request: web.Request, tagged: TaggedLinks, filters: Iterable[Filter]
) -> Narrowing:
    """Return what the caller sees, or refuse hosts and links that it asks for and does not."""
    who = principal_of(request)
    narrowing = await tagged.narrowing(who)
    narrowing.refuse_others(who, hosts=named(filters, "host"), links=named(filters, "link"))
    return narrowing


async def _send(
    request: web.Request, exported: Export, asker: Asker, form: str
) -> web.StreamResponse:
    """Send piece after piece; the next is read while one is on its way, and no further one."""
    response = web.StreamResponse(
        headers={
            "Content-Type": MEDIA[form] + ("; charset=utf-8" if form in TEXTUAL else ""),
            "Content-Disposition": f'attachment; filename="hits.{form}"',
            "Cache-Control": "no-store",
        }
    )
    content = await asker.ask(exported.piece, allowance=PIECE)  # refusals come before a byte
    await response.prepare(request)
    broken = ""
    try:
        while not exported.done:
            async with asyncio.TaskGroup() as together:
                reading = together.create_task(asker.ask(exported.piece, allowance=PIECE))
                together.create_task(_write(response, content))
            content = reading.result()
        await _write(response, content)
    except* (ConnectionError, TimeoutError, ServiceError) as group:
        broken = type(group.exceptions[0]).__name__
    if not broken:
        await response.write_eof()
        return response
    # The head has gone, and what has come must not look whole.
    log.warning("export.broken_off", reason=broken)
    if request.transport is not None:
        request.transport.abort()
    return response


async def _write(response: web.StreamResponse, content: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS_MAX):
        await response.write(content)


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
