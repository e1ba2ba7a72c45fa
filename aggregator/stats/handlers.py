"""`GET /v1/stats`: how many hits, clicks and visitors, by what and when."""

from collections.abc import Callable

from aiohttp import web

from aggregator.asking.asker import Asker
from aggregator.asking.budget import Budget
from aggregator.asking.filters import EVERYTHING, Narrowing
from aggregator.searching.handlers import told_of
from aggregator.stats.answer import answer
from aggregator.stats.question import read_question
from aggregator.stats.store import find
from milepost.clock import Clock
from milepost.http import guarded, json_response
from milepost.sqlite import Connection
from milepost.tokens import HITS_READ


def add_stats(
    app: web.Application,
    asker: Asker,
    clock: Clock,
    *,
    narrowing: Callable[[web.Request], Narrowing] = lambda _request: EVERYTHING,
) -> None:
    """Add the route; *narrowing* tells what a caller may see at most."""

    async def stats(request: web.Request) -> web.Response:
        question = read_question(told_of(request.query), clock.now())
        allowed = narrowing(request)

        def work(db: Connection, budget: Budget) -> dict[str, object]:
            return answer(question, find(db, question, allowed, rows_max=budget.rows))

        return json_response(await asker.ask(work))

    app.router.add_get("/v1/stats", guarded(HITS_READ, stats))
