"""The query API: `GET /v1/hits` and `GET /v1/sources`."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from aggregator.puller import Puller
from aggregator.query.params import read_question, rfc3339, write_cursor
from aggregator.query.store import find_hits, find_sources
from aggregator.store import Count, Store
from milepost.database import Readers
from milepost.http import guarded, json_response
from milepost.tokens import HITS_READ


def add_queries(
    app: web.Application, readers: Readers, store: Store, pullers: Sequence[Puller]
) -> None:
    """Add the routes."""

    async def hits(request: web.Request) -> web.Response:
        question = read_question(list(request.query.items()))
        rows, last = await find_hits(readers, question)
        return json_response({"hits": rows, "next": last and write_cursor(question, last)})

    async def sources(request: web.Request) -> web.Response:
        del request
        stored, streams = await find_sources(readers)
        waiting, set_aside = await store.count_sealed()
        told = [
            {"url": each.url, **stored.get(each.url, {}), **_state(each, streams.get(each.url, []))}
            for each in pullers
        ]
        return json_response(
            {"sources": told, "waiting": _count(waiting), "set_aside": _count(set_aside)}
        )

    app.router.add_get("/v1/hits", guarded(HITS_READ, hits))
    app.router.add_get("/v1/sources", guarded(HITS_READ, sources))


def _state(puller: Puller, streams: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how one source does: what is in memory is newer than what is stored."""
    told: dict[str, Any] = {
        "lag_records": sum(stream["lag_records"] for stream in streams),
        "streams": streams,
    }
    if puller.last_success is not None:
        told["last_success"] = rfc3339(puller.last_success)
    if puller.last_error is not None:
        told["last_error"] = puller.last_error
    if puller.unreadable:
        told["unreadable"] = list(puller.unreadable)
    return told


def _count(count: Count) -> dict[str, int]:
    return {"batches": count.batches, "records": count.records}
