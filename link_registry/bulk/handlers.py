"""`POST /v1/links/bulk`: up to 10,000 links in one call.

What is to happen whole or not at all is one transaction.  All else is done some
hundred items at a time, so that a single change need not wait for a whole call.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Iterator, Mapping

import orjson
from aiohttp import web

from link_registry.bulk.items import Asked, Chance, all_done, asked_from, failures
from link_registry.bulk.store import Changing, next_parts_of
from link_registry.entries import ID_CHARS, link_id_from
from link_registry.metrics import BULK_ITEMS
from link_registry.once.keys import digest_of, key_of
from link_registry.once.store import Call, Part, UndoneError
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
# Between two parts, of the time that the last one took: what is written faster than edges take it
# in stands before every single change in the feed.
REST_SHARE, REST_SECONDS_MAX = 0.5, 0.05
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
            # Elsewhere than on the loop, as it takes its time.
            asked, digest = await asyncio.to_thread(_read, body)
            call = Call(
                name=NAME,
                who=principal_of(request),
                key=key,
                digest=digest,
                now=self._clock.now(),
                kept_max=KEPT_MAX,
            )
            try:
                return _response(_answer(await self._done(asked, call), applied=True))
            except UndoneError as undone:
                results = undone.part.answer
        if asked.dry_run:
            return _response(_answer([results], applied=False))
        return _response(_problem(results), status=CONFLICT)

    async def _done(self, asked: Asked, call: Call) -> list[bytes]:
        """Do what is asked, part by part; others write between two parts, and edges catch up."""
        results: list[bytes] = []
        done = 0
        while True:
            begun = time.monotonic()
            work = functools.partial(self._do, asked, done, call.now)
            for part in await next_parts_of(self._store, call, self._policy, done, work):
                BULK_ITEMS.inc(part.changed)
                results.append(part.answer)
                done = part.upto
            if done >= len(asked.items):
                return results
            rest = min(REST_SHARE * (time.monotonic() - begun), REST_SECONDS_MAX)
            await self._clock.sleep(rest)

    def _do(self, asked: Asked, done: int, now: Millis, links: Changing) -> Part:
        """Do the part of *asked* that follows item *done*.  This is on the writer's thread."""
        items = asked.part_after(done)
        results = all_done(items, links, now, self._chance)
        failed = failures(results)
        part = Part(
            upto=done + len(items),
            answer=orjson.dumps(results)[1:-1],
            changed=len(items) - len(failed),
        )
        if asked.dry_run or (asked.atomic and failed):
            raise UndoneError(part)
        return part

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


def _read(body: bytes) -> tuple[Asked, bytes]:
    """Return what *body* asks, and its digest."""
    try:
        asked = asked_from(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        msg = f"the body is not JSON: {error}"
        raise RejectedError(msg) from error
    return asked, digest_of(body)


def _response(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(
        body=body,
        status=status,
        content_type="application/problem+json" if status == CONFLICT else "application/json",
        headers={"Cache-Control": "no-store"},
    )


def _answer(results: list[bytes], *, applied: bool) -> bytes:
    told = orjson.Fragment(b"[%b]" % b",".join(results))
    return orjson.dumps({"applied": applied, "results": told})


def _problem(results: bytes) -> bytes:
    told = orjson.loads(b"[%b]" % results)
    first = failures(told)[0]
    detail = f"items[{first}]: {told[first]['detail']}; nothing was changed"
    head = {"type": "about:blank", "title": ConflictError.title, "status": CONFLICT}
    tail = {"detail": detail, "code": ConflictError.code, "applied": False, "results": told}
    return orjson.dumps(head | tail)
