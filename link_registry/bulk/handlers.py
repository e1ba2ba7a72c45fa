"""`POST /v1/links/bulk`: up to 10,000 links in one call, one transaction and one announcement."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping

import orjson
from aiohttp import web

from link_registry.bulk.items import Asked, all_done, asked_from, failures
from link_registry.bulk.store import Call, Changing, Done, call_once
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
            digest = hashlib.blake2b(body, digest_size=16).digest()
            who, now = principal_of(request), self._clock.now()
            call = Call(who=who, key=key, digest=digest, now=now)
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
        results = all_done(asked, links, now, lambda: link_id_from(self._entropy(ID_CHARS)))
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


def _answer(asked: Asked, results: list[dict[str, object]]) -> bytes:
    return orjson.dumps({"applied": not asked.dry_run, "results": results})


def _problem(detail: str, results: list[dict[str, object]]) -> bytes:
    head = {"type": "about:blank", "title": ConflictError.title, "status": CONFLICT}
    tail = {"detail": detail, "code": ConflictError.code, "applied": False, "results": results}
    return orjson.dumps(head | tail)
