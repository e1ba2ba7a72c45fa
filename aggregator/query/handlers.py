"""`GET /v1/sources`: how each source does."""

from typing import Any

from aiohttp import web

from aggregator.discovery.sources import Sources
from aggregator.pulling.lag import Progress, seconds_since
from aggregator.pulling.puller import Puller
from aggregator.query.params import rfc3339
from aggregator.query.store import StoredSource, StoredStream, find_sources
from aggregator.replicas.sweeping import Sweeper
from aggregator.store import Count, Store
from milepost.clock import Clock
from milepost.database import Readers
from milepost.http import guarded, json_response
from milepost.tokens import HITS_READ
from milepost.vocabulary import Millis


def add_sources(
    app: web.Application,
    readers: Readers,
    store: Store,
    sources: Sources,
    clock: Clock,
    *,
    sweeper: Sweeper | None = None,
) -> None:
    """Add the route; without a *sweeper* there are no replicas to tell of."""

    async def list_sources(request: web.Request) -> web.Response:
        del request
        stored, streams = await find_sources(readers)
        waiting, set_aside = await store.count_sealed()
        now = clock.now()
        pulled = {each.url: each for each in sources}
        told = [
            _source(url, pulled.get(url), stored.get(url), streams.get(url, []), now)
            for url in dict.fromkeys([*pulled, *stored])
        ]
        answer = {"sources": told, "waiting": _count(waiting), "set_aside": _count(set_aside)}
        return json_response(
            {**answer, "replicas": await sweeper.told()} if sweeper is not None else answer
        )

    app.router.add_get("/v1/sources", guarded(HITS_READ, list_sources))


def _source(
    url: str,
    puller: Puller | None,
    stored: StoredSource | None,
    streams: list[StoredStream],
    now: Millis,
) -> dict[str, Any]:
    """Return how one source does: what is in memory is newer than what is stored."""
    progress = puller.progress if puller else {}
    listed = [_stream(each, progress.get(each.stream, Progress()), now) for each in streams]
    told: dict[str, Any] = {
        "url": url,
        "state": "known",
        **(stored.to_json() if stored else {}),
        "lag_records": sum(stream["lag_records"] for stream in listed),
        "lag_seconds": max(
            [_silence(puller, stored, now), *(each["lag_seconds"] for each in listed)]
        ),
        "streams": listed,
    }
    if puller is not None:
        told |= _memory(puller)
    return told


def _silence(puller: Puller | None, stored: StoredSource | None, now: Millis) -> float:
    """Return for how long a source has not answered; one that does answers."""
    if puller is not None:
        return 0.0 if puller.last_error is None else puller.silent_seconds()
    if stored is None:
        return 0.0
    return seconds_since(stored.asked_ms or stored.last_success_ms or stored.found_ms, now)


def _memory(puller: Puller) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if puller.last_success is not None:
        told["last_success"] = rfc3339(puller.last_success)
    if puller.last_error is not None:
        told["last_error"] = puller.last_error
    if puller.unreadable:
        told["unreadable"] = list(puller.unreadable)
    return told


def _stream(stored: StoredStream, progress: Progress, now: Millis) -> dict[str, Any]:
    since = progress.since(last_seq=stored.last_seq, created_ms=stored.created_ms)
    lags = stored.behind and stored.abandoned_ms is None and stored.swept_ms is None
    told: dict[str, Any] = {
        "stream": stored.stream.hex(),
        "open": stored.open,
        "present": stored.present,
        "seq": stored.seq,
        "last_seq": stored.last_seq,
        "lag_records": stored.lag_records if lags else 0,
        "lag_seconds": seconds_since(since, now) if lags else 0.0,
    }
    if stored.fault:
        told["fault"] = stored.fault
    if stored.forked_ms is not None:
        told["forked"] = rfc3339(stored.forked_ms)
    if stored.branch_seq is not None:
        told["branch_seq"] = stored.branch_seq
    if stored.abandoned_ms is not None:
        told["abandoned"] = rfc3339(stored.abandoned_ms)
        told["written_off"] = stored.lag_records
    if stored.swept_ms is not None:
        told["swept"] = rfc3339(stored.swept_ms)
    return told


def _count(count: Count) -> dict[str, int]:
    return {"batches": count.batches, "records": count.records}
