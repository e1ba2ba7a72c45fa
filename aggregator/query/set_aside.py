"""`GET /v1/set-aside` and `POST /v1/set-aside/retry`: what could not be read, and trying again."""

from collections.abc import Mapping

from aiohttp import web

from aggregator.opening.retry import Retrier
from aggregator.query.params import read_limit
from aggregator.query.store import find_set_aside
from aggregator.store import Store
from milepost.database import Readers
from milepost.http import Handler, json_response


def set_aside_handlers(readers: Readers, store: Store, retrier: Retrier) -> Mapping[str, Handler]:
    """Return who answers."""

    async def listed(request: web.Request) -> web.Response:
        batches, records = await find_set_aside(readers, read_limit(request.query))
        _, total = await store.count_sealed()
        return json_response(
            {
                "total": {"batches": total.batches, "records": total.records},
                "batches": batches,
                "records": records,
            }
        )

    async def retry(request: web.Request) -> web.Response:
        del request
        done = await retrier.retry()
        told = {name: done[name] for name in ("opened", "hits", "set_aside")}
        damaged = await store.count_damaged()
        # No key helps what is not as it was written; only its batch as it was does.
        return json_response({**told, "damaged": damaged.batches} if damaged.batches else told)

    return {"list_set_aside": listed, "retry_set_aside": retry}
