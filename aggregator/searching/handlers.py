"""`GET /v1/hits`: rows, page by page."""

from collections.abc import Callable

from aiohttp import web
from multidict import MultiMapping

from aggregator.asking.asker import Asker
from aggregator.asking.filters import EVERYTHING, Narrowing
from aggregator.searching.paging import Page, Shape, page_of
from aggregator.searching.question import Told, choice, read_question
from aggregator.searching.rows import CSV, JSON, JSONL, MEDIA, TSV, read_columns
from milepost.clock import Clock
from milepost.http import guarded
from milepost.tokens import HITS_READ

FORMATS = (JSON, JSONL, CSV, TSV)


def add_hits(
    app: web.Application,
    asker: Asker,
    clock: Clock,
    *,
    narrowing: Callable[[web.Request], Narrowing] = lambda _request: EVERYTHING,
) -> None:
    """Add the route; *narrowing* tells what a caller may see at most."""

    async def hits(request: web.Request) -> web.Response:
        told = told_of(request.query)
        question = read_question(told, clock.now())
        shape = Shape(form=choice(told, "format", FORMATS), names=read_columns(told))
        allowed = narrowing(request)
        page = await asker.ask(lambda db, budget: page_of(db, question, allowed, budget, shape))
        return web.Response(
            body=page.body,
            content_type=MEDIA[shape.form],
            charset=None if shape.form == JSON else "utf-8",
            headers={"Cache-Control": "no-store", **_links(request, page)},
        )

    app.router.add_get("/v1/hits", guarded(HITS_READ, hits))


def told_of(query: MultiMapping[str]) -> Told:
    """Return every parameter with its values in their order."""
    return {name: query.getall(name) for name in dict.fromkeys(query)}


def _links(request: web.Request, page: Page) -> dict[str, str]:
    """Return where the neighbouring pages are (RFC 8288), which lines of text do not tell."""
    links = [
        f'<{request.rel_url.update_query(cursor=cursor)}>; rel="{name}"'
        for name, cursor in zip(("next", "prev", "newer"), page.cursors, strict=True)
        if cursor is not None
    ]
    return {"Link": ", ".join(links)} if links else {}
