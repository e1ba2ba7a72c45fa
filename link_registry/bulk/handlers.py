"""`POST /v1/links/bulk`: up to 10,000 links in one call, one transaction and one announcement."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

import orjson
from aiohttp import web

from link_registry.bulk.items import Asked, Chance, all_done, asked_from, failures
from link_registry.bulk.store import Changing, call_once
from link_registry.entries import ID_CHARS, link_id_from
from link_registry.metrics import BULK_ITEMS
from link_registry.once.keys import digest_of, key_of
from link_registry.once.store import Call, Done
from link_registry.policy import Policy
from link_registry.slugs import slugs
from link_registry.store import LinkStore
from milepost.clock import Clock, Entropy
from milepost.errors import (
    ConflictError,
    RejectedError,
    TooLargeError,
    UnavailableError,
)
from milepost.http import Handler, principal_of
from milepost.vocabulary import Millis

BODY_BYTES_MAX = 32 << 20
BODY_SECONDS_MAX = 60.0
CALLS_MAX = 4  # that are read or done at a time: so much is in memory at most
KEPT_MAX = 500  # calls that are remembered
NAME = "change_many_links"
CONFLICT = 409


class Bulk:
    """Many links in one call."""

    def __init__(self, store: LinkStore, clock: Clock, entropy: Entropy, policy: Policy) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy
        self._calls = 0
        self._chance = Chance(
            lambda: link_id_from(entropy(ID_CHARS)),
            lambda: slugs(entropy),
        )

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.bulk.api`."""
        return {NAME: self.change}

    async def change(self, request: web.Request) -> web.Response:
        """Create, change and delete links."""
        key = key_of(request.headers)
        with self._counted():
            body = await _body_of(request)
            call = Call(
                name=NAME,
                who=principal_of(request).name,
                key=key,
                digest=digest_of(body),
                now=self._clock.now(),
                kept_max=KEPT_MAX,
            )
            done = await call_once(
                self._store, call, self._policy, lambda links: self._do(body, links, call.now)
            )
        return web.Response(
            body=done.answer,
            status=CONFLICT if done.refused else 200,
            content_type="application/problem+json" if done.refused else "application/json",
            headers={"Cache-Control": "no-store"},
        )

    def _do(self, body: bytes, links: Changing, now: Millis) -> Done:
        """Do what *body* asks.  It is read here, on the writer's thread, as it takes its time."""
        try:
            asked = asked_from(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            msg = f"the body is not JSON: {error}"
            raise RejectedError(msg) from error
        results = all_done(asked, links, now, self._chance)
        failed = failures(results)
        if failed and asked.atomic:
            detail = f"items[{failed[0]}]: {results[failed[0]]['detail']}; nothing was changed"
            return Done(_problem(detail, results), keep=False, refused=True)
        if not asked.dry_run:
            BULK_ITEMS.inc(len(results) - len(failed))
        return Done(_answer(asked, results), keep=not asked.dry_run)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        if self._calls >= CALLS_MAX:
            msg = f"{CALLS_MAX} bulk calls are under way; ask again when one has ended"
            raise UnavailableError(msg)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1


async def _body_of(request: web.Request) -> bytes:
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    msg = f"the body: want at most {BODY_BYTES_MAX} bytes in one call"
                    raise TooLargeError(msg)
                parts.append(chunk)
    except TimeoutError as error:
        msg = f"the body: it took more than {BODY_SECONDS_MAX:.0f} seconds"
        raise RejectedError(msg) from error
    return b"".join(parts)


def _answer(asked: Asked, results: list[dict[str, object]]) -> bytes:
    return orjson.dumps({"applied": not asked.dry_run, "results": results})


def _problem(detail: str, results: list[dict[str, object]]) -> bytes:
    head = {"type": "about:blank", "title": ConflictError.title, "status": CONFLICT}
    tail = {"detail": detail, "code": ConflictError.code, "applied": False, "results": results}
    return orjson.dumps(head | tail)
