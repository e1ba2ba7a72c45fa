"""`GET /v1/downloads`: how many, by day, link or target."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from aggregator.access.tagged import TaggedLinks
from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.downloads.question import read_question
from aggregator.downloads.tally import Tally
from aggregator.searching.handlers import seen_by, told_of
from milepost.clock import Clock
from milepost.errors import TooManyError
from milepost.http import Handler, json_response

COUNTS_MAX = 1  # at the same time: each reads a lot, and other questions have connections left
PIECE = Allowance(rows=2_000_000, seconds=60)  # for each piece


def download_handlers(asker: Asker, clock: Clock, tagged: TaggedLinks) -> Mapping[str, Handler]:
    """Return who answers; *tagged* knows what a caller may see at most."""
    running = asyncio.Semaphore(COUNTS_MAX)

    async def downloads(request: web.Request) -> web.Response:
        question = read_question(told_of(request.query), clock.now())
        tally = Tally(question, await seen_by(request, tagged, question.selection.filters))
        if running.locked():
            msg = "downloads are being counted already"
            raise TooManyError(msg, retry_after_seconds=10)
        async with running:
            while not tally.done:
                await asker.ask(tally.piece, allowance=PIECE)
        return json_response(tally.told())

    return {"count_downloads": downloads}
