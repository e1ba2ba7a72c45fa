"""`GET /v1/stats`: how many hits, clicks and visitors, by what and when."""

from collections.abc import Mapping

from aiohttp import web

from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Budget
from aggregator.searching.handlers import seen_by, told_of
from aggregator.stats.answer import answer
from aggregator.stats.question import read_question
from aggregator.stats.store import find
from milepost.clock import Clock
from milepost.http import Handler, json_response
from milepost.sqlite import Connection


def stats_handlers(asker: Asker, clock: Clock, tagged: TaggedLinks) -> Mapping[str, Handler]:
    """Return who answers; *tagged* knows what a caller may see at most."""

    async def stats(request: web.Request) -> web.Response:
        question = read_question(told_of(request.query), clock.now())
        allowed = await seen_by(request, tagged, question.filters)

        def work(db: Connection, budget: Budget) -> dict[str, object]:
            return answer(question, find(db, question, allowed, rows_max=budget.rows))

        return json_response(await asker.ask(work))

    return {"sum_hits": stats}
