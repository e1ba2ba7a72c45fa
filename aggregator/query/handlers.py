"""The query API: `GET /v1/hits` and `GET /v1/sources`."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from aggregator.pulling.lag import Progress, seconds_since
from aggregator.pulling.puller import Puller
from aggregator.query.params import read_question, rfc3339, write_cursor
from aggregator.query.store import StoredStream, find_hits, find_sources
from aggregator.replicas.sweeping import Sweeper
from aggregator.store import Count, Store
from milepost.clock import Clock
from milepost.database import Readers
from milepost.http import guarded, json_response
from milepost.tokens import HITS_READ
from milepost.vocabulary import Millis


def add_queries(
    app: web.Application,
    readers: Readers,
    store: Store,
    pullers: Sequence[Puller],
    clock: Clock,
    *,
    sweeper: Sweeper | None = None,
) -> None:
    """Add the routes; without a *sweeper* there are no replicas to tell of."""

    async def hits(request: web.Request) -> web.Response:
        question = read_question(list(request.query.items()))
        rows, last = await find_hits(readers, question)
        return json_response({"hits": rows, "next": last and write_cursor(question, last)})

    async def sources(request: web.Request) -> web.Response:
        del request
        stored, streams = await find_sources(readers)
        waiting, set_aside = await store.count_sealed()
        now = clock.now()
        told = [
            {
                "url": each.url,
                **stored.get(each.url, {}),
                **_state(each, streams.get(each.url, []), now),
            }
            for each in pullers
        ]
        answer = {"sources": told, "waiting": _count(waiting), "set_aside": _count(set_aside)}
        return json_response(
            {**answer, "replicas": await sweeper.told()} if sweeper is not None else answer
        )

    app.router.add_get("/v1/hits", guarded(HITS_READ, hits))
    app.router.add_get("/v1/sources", guarded(HITS_READ, sources))


def _state(puller: Puller, stored: list[StoredStream], now: Millis) -> dict[str, Any]:
    """Return how one source does: what is in memory is newer than what is stored."""
    streams = [_stream(each, puller.progress.get(each.stream, Progress()), now) for each in stored]
    silent = 0.0 if puller.last_error is None else puller.silent_seconds()
    told: dict[str, Any] = {
        "lag_records": sum(stream["lag_records"] for stream in streams),
        "lag_seconds": max([silent, *(stream["lag_seconds"] for stream in streams)]),
        "streams": streams,
    }
    if puller.last_success is not None:
        told["last_success"] = rfc3339(puller.last_success)
    if puller.last_error is not None:
        told["last_error"] = puller.last_error
    if puller.unreadable:
        told["unreadable"] = list(puller.unreadable)
    return told


def _stream(stored: StoredStream, progress: Progress, now: Millis) -> dict[str, Any]:
    since = progress.since(last_seq=stored.last_seq, created_ms=stored.created_ms)
    behind = stored.seq < stored.last_seq and stored.swept_ms is None
    told: dict[str, Any] = {
        "stream": stored.stream.hex(),
        "open": stored.open,
        "present": stored.present,
        "seq": stored.seq,
        "last_seq": stored.last_seq,
        "lag_records": stored.lag_records,
        "lag_seconds": seconds_since(since, now) if behind else 0.0,
    }
    if stored.fault:
        told["fault"] = stored.fault
    if stored.swept_ms is not None:
        told["swept"] = rfc3339(stored.swept_ms)
    return told


def _count(count: Count) -> dict[str, int]:
    return {"batches": count.batches, "records": count.records}
