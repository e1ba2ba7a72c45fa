"""The one HTTP client: how a service or the command speaks to a service.

Whatever goes wrong on the way is an UnavailableError: it may have happened or
not, ask again.  What the other side refused is a RejectedError with its words.
Answers are bounded, and so is every wait.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Self

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver

from milepost.config import Secret
from milepost.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    UnauthorizedError,
    UnavailableError,
)

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 15.0
ANSWER_BYTES_MAX = 64 << 20
CHUNK_BYTES = 1 << 16
CONNECTIONS = 100
BAD_REQUEST, TOO_MANY, SERVER_ERROR = 400, 429, 500
NOT_MODIFIED = 304

_REFUSALS: dict[int, type[RejectedError]] = {
    kind.status: kind for kind in (UnauthorizedError, ForbiddenError, NotFoundError, ConflictError)
}


class Client:
    """Speaks to one service."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: Secret) -> None:
        self._session = session
        self.base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, base_url: str, token: Secret) -> AsyncIterator[Self]:
        """Lend a client with a session of its own."""
        async with new_session() as session:
            yield cls(session, base_url, token)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """GET *path* and return its JSON."""
        return await self.call("GET", path, params=params)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        wait_seconds: float = 0.0,
        bytes_max: int | None = None,
    ) -> Any:
        """POST *body* and return the answer's JSON; allow *wait_seconds* more for it."""
        content, _etag = await self.exchange(
            "POST", path, body=body, wait_seconds=wait_seconds, bytes_max=bytes_max
        )
        return _json(content) if content else None

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0.0,
    ) -> Any:
        """Make one call and return the answer's JSON (None when there is no body)."""
        content, _etag = await self.exchange(
            method, path, params=params, body=body, headers=headers, wait_seconds=wait_seconds
        )
        return _json(content) if content else None

    async def get_changed(self, path: str, etag: str, *, wait_seconds: float) -> tuple[Any, str]:
        """GET *path* unless it still is what *etag* names; return (JSON or None, its ETag).

        The service may hold the answer back for up to *wait_seconds* until there is news.
        """
        content, fresh = await self.exchange(
            "GET",
            path,
            params={"wait_ms": str(int(wait_seconds * 1000))},
            headers={"If-None-Match": etag} if etag else {},
            wait_seconds=wait_seconds,
        )
        return (_json(content), fresh) if content else (None, etag)

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = 0.0,
        bytes_max: int | None = None,
    ) -> tuple[bytes, str]:
        """Make one call; return (body, ETag), with an empty body for 204 and 304."""
        timeout = aiohttp.ClientTimeout(
            total=TOTAL_SECONDS + wait_seconds, sock_connect=CONNECT_SECONDS
        )
        try:
            async with self._session.request(
                method,
                self.base_url + path,
                params=params,
                data=None if body is None else orjson.dumps(body),
                headers={**self._headers, **(headers or {})},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                content = await _read_bounded(response, bytes_max)
                _refuse(response, content)
                return content, response.headers.get("ETag", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"{self.base_url}: {type(error).__name__}"
            raise UnavailableError(msg) from error

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str], *, silence_seconds_max: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """GET an endless answer; lend its lines, and give up after too long a silence."""
        async with self.stream_groups(
            path, headers, silence_seconds_max=silence_seconds_max
        ) as groups:
            yield (line async for lines in groups for line in lines)

    @contextlib.asynccontextmanager
    async def stream_groups(
        self, path: str, headers: Mapping[str, str], *, silence_seconds_max: float
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """GET an endless answer; lend its lines, those together that arrived together."""
        async with self._opened(path, headers, silence_seconds_max) as response:
            yield _lines(response)

    async def download(
        self, path: str, *, silence_seconds_max: float
    ) -> AsyncGenerator[bytes, None]:
        """GET an answer of any length, piece by piece; one that breaks off is an error."""
        async with self._opened(path, {}, silence_seconds_max) as response:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                yield chunk

    @contextlib.asynccontextmanager
    async def _opened(
        self, path: str, headers: Mapping[str, str], silence_seconds_max: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds_max
        )
        try:
            async with self._session.get(
                self.base_url + path,
                headers={**self._headers, **headers},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= BAD_REQUEST:
                    _refuse(response, await _read_bounded(response))
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"{self.base_url}: {type(error).__name__}"
            raise UnavailableError(msg) from error


def new_session(
    *, resolver: AbstractResolver | None = None, connections: int = CONNECTIONS
) -> aiohttp.ClientSession:
    """Return a session with nothing of the surroundings in it: no proxy, no cookies.

    With *resolver* it knows names that this machine does not.  Who speaks to many at once
    needs as many *connections*, or one that hangs keeps another waiting.
    """
    return aiohttp.ClientSession(
        # A resolver of ours is asked for each connection: who has moved is found at once.
        connector=aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=resolver is None, limit=connections
        ),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[list[bytes]]:
    waiting = b""
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        *whole, waiting = (waiting + chunk).split(b"\n")
        yield whole
        if len(waiting) > ANSWER_BYTES_MAX:
            msg = f"a line of more than {ANSWER_BYTES_MAX} bytes"
            raise UnavailableError(msg)


async def _read_bounded(response: aiohttp.ClientResponse, bytes_max: int | None = None) -> bytes:
    bytes_max = bytes_max or ANSWER_BYTES_MAX
    parts, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        parts.append(chunk)
        size += len(chunk)
        if size > bytes_max:
            msg = f"an answer of more than {bytes_max} bytes"
            raise UnavailableError(msg)
    return b"".join(parts)


def _refuse(response: aiohttp.ClientResponse, content: bytes) -> None:
    if response.status < BAD_REQUEST:
        return
    try:
        detail = str(orjson.loads(content)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = f"status {response.status}"
    if response.status >= SERVER_ERROR or response.status == TOO_MANY:
        raise UnavailableError(detail)
    raise _REFUSALS.get(response.status, RejectedError)(detail)


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        msg = "the answer is not JSON"
        raise UnavailableError(msg) from error
