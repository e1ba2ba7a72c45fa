"""`POST /v1/links/bulk`: up to 10,000 links in one call.

What is to happen whole or not at all is one transaction.  All else is done some
hundred items at a time, so that a single change need not wait for a whole call.
"""

import asyncio
import contextlib
import functools
import hashlib
import re
import time
from collections.abc import Iterator, Mapping

import orjson
from aiohttp import web

from link_registry.bulk.items import Asked, all_done, asked_from, failures
from link_registry.bulk.store import Call, Changing, Part, UndoneError, next_parts
from link_registry.entries import ID_CHARS, link_id_from
from link_registry.metrics import BULK_ITEMS
from link_registry.policy import Policy
from link_registry.store import LinkStore
from milepost.clock import Clock, Entropy
from milepost.errors import (
    ConflictError,
    FieldError,
    RejectedError,
    TooLargeError,
    UnavailableError,
)
from milepost.fields import shape_of
from milepost.http import Handler, principal_of
from milepost.vocabulary import Millis

BODY_BYTES_MAX = 32 << 20
BODY_SECONDS_MAX = 60.0
CALLS_MAX = 4  # that are read or done at a time: so much is in memory at most
# Between two parts, of the time that the last one took: what is written faster than edges take it
# in stands before every single change in the feed.
REST_SHARE, REST_SECONDS_MAX = 0.5, 0.05
KEY_HEADER = "Idempotency-Key"
CONFLICT = 409

_KEY = re.compile(r"[\x21-\x7e]{1,200}")
KEY_PATTERN = _KEY.pattern


class Bulk:
    """Many links in one call."""

    def __init__(self, store: LinkStore, clock: Clock, entropy: Entropy, policy: Policy) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._policy = policy
        self._calls = 0

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.bulk.api`."""
        return {"change_many_links": self.change}

    async def change(self, request: web.Request) -> web.Response:
        """Create, change and delete links."""
        key = _key_of(request)
        with self._counted():
            body = await _body_of(request)
            # Elsewhere than on the loop, as it takes its time.
            asked, digest = await asyncio.to_thread(_read, body)
            call = Call(
                who=principal_of(request).name, key=key, digest=digest, now=self._clock.now()
            )
            try:
                return _response(_answer(await self._done(asked, call), applied=True))
            except UndoneError as undone:
                results = undone.part.results
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
            for part in await next_parts(self._store, call, self._policy, done, work):
                BULK_ITEMS.inc(part.changed)
                results.append(part.results)
                done = part.upto
            if done >= len(asked.items):
                return results
            rest = min(REST_SHARE * (time.monotonic() - begun), REST_SECONDS_MAX)
            await self._clock.sleep(rest)

    def _do(self, asked: Asked, done: int, now: Millis, links: Changing) -> Part:
        """Do the part of *asked* that follows item *done*.  This is on the writer's thread."""
        items = asked.part_after(done)
        results = all_done(items, links, now, lambda: link_id_from(self._entropy(ID_CHARS)))
        failed = failures(results)
        part = Part(
            upto=done + len(items),
            results=orjson.dumps(results)[1:-1],
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


def _key_of(request: web.Request) -> str:
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return ""
    if not _KEY.fullmatch(key):
        accepted = "1 to 200 visible ASCII characters without a blank"
        raise FieldError(field=KEY_HEADER, accepted=accepted, got=shape_of(key))
    return key


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
    return asked, hashlib.blake2b(body, digest_size=16).digest()


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
