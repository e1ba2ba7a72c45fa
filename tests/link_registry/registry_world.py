"""A real registry for tests: its database in a folder, its application on a loopback port."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from link_registry.app import registry_app
from link_registry.bulk.handlers import REST_SECONDS_MAX
from link_registry.news import News
from link_registry.store import LinkStore
from link_registry.vitals import Vitals
from milepost.tokens import (
    EDGE_SCOPES,
    GRANTS_READ,
    GRANTS_WRITE,
    LINKS_COUNT,
    LINKS_READ,
    LINKS_WRITE,
    OPERATOR_SCOPES,
    Principal,
    TokenBook,
    token_hash,
)
from milepost.vocabulary import Millis

EDITOR, READER, EDGE = "editor-token", "reader-token", "edge-token"
GRANTER, LENDER, OPERATOR = "granter-token", "lender-token", "operator-token"
COUNTER = "counter-token"
DESTINATION = "https://example.org/somewhere"

TOKENS = TokenBook(
    [
        (token_hash(EDITOR), Principal("editor", frozenset({LINKS_READ, LINKS_WRITE}))),
        (token_hash(READER), Principal("reader", frozenset({LINKS_READ}))),
        (token_hash(GRANTER), Principal("granter", frozenset({GRANTS_READ, GRANTS_WRITE}))),
        (token_hash(LENDER), Principal("lender", frozenset({GRANTS_WRITE, LINKS_WRITE}))),
        (token_hash(COUNTER), Principal("counter", frozenset({LINKS_COUNT}))),
        (token_hash(OPERATOR), Principal("operator", frozenset(OPERATOR_SCOPES))),
        (token_hash(EDGE), Principal("edge", frozenset(EDGE_SCOPES))),
    ]
)


class StillClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at = Millis(1_000)
        self._tick = asyncio.Event()

    def now(self) -> Millis:
        """Return the moment it stands at."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Wait for the next tick, however long was asked for; a rest in a call takes no time."""
        if seconds <= REST_SECONDS_MAX:
            await asyncio.sleep(0)
            return
        await self._tick.wait()

    def tick(self) -> None:
        """Wake everybody who sleeps."""
        told, self._tick = self._tick, asyncio.Event()
        told.set()


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows *token*."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Registry:
    """A running registry."""

    server: TestServer
    client: TestClient[Any, Any]
    store: LinkStore
    clock: StillClock
    news: News

    @property
    def url(self) -> str:
        """Return where it listens."""
        return str(self.server.make_url("")).rstrip("/")

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str = EDITOR, **headers: str
    ) -> ClientResponse:
        """Make one call; *headers* have underscores in the place of hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=body, headers=bearer(token) | more)

    async def create(self, path: str, **fields: Any) -> dict[str, Any]:
        """Make a link and return it."""
        body = {"path": path, "destination": DESTINATION} | fields
        answer = await self.call("POST", "/v1/links", body)
        told = await answer.json()
        assert answer.status == 201, told
        link: dict[str, Any] = told["link"]
        return link

    def listen(self, last_event_id: str = "") -> Any:
        """Open the feed; use as a context manager."""
        headers = bearer(EDGE) | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        return self.client.get("/sync/stream", headers=headers)


@contextlib.asynccontextmanager
async def running_registry(folder: Path, **given: Any) -> AsyncIterator[Registry]:
    """Run a registry over the database in *folder*, as *given*, and with somebody who cleans up."""
    news, clock = News(), StillClock()
    async with LinkStore.open(folder / "links.db", os.urandom, news, checkpoints=True) as store:
        vitals = Vitals(store)
        await vitals.look()
        told: dict[str, Any] = {"tokens": TOKENS, "clock": clock, "entropy": os.urandom}
        told |= {"cleans": True} | given
        app = registry_app(store, news, vitals, **told)
        server = TestServer(app)
        # A longer line than usual: the parser would refuse it before the registry can say why.
        await server.start_server(max_line_size=1 << 16)
        async with TestClient(server) as client:
            yield Registry(server, client, store, clock, news)


async def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; a test that waits in vain fails."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)
