"""An aggregator that keeps tokens, as a caller sees it."""

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient

from aggregator.access.tagged import TaggedLinks
from aggregator.api import SCOPES
from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.pulling.puller import Puller
from aggregator.reconciling.reckoner import Reckoner
from milepost.access.keeper import TokenKeeper
from milepost.access.store import TokenStore
from milepost.record import Record
from milepost.tokens import (
    OPERATOR_SCOPES,
    PULL,
    QUERY_SCOPES,
    Principal,
    TokenBook,
    token_hash,
)
from milepost.vocabulary import Scope
from tests.aggregator.combined_world import World

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

OPERATOR, READER, SERVICE = "operator", "reader", "service"
FILE = TokenBook(
    (token_hash(name), Principal(name, frozenset(scopes)))
    for name, scopes in (
        (OPERATOR, OPERATOR_SCOPES),
        (READER, QUERY_SCOPES),
        (SERVICE, (PULL, Scope("drained"))),
    )
)


class Aggregator:
    """A running aggregator with the tokens that it keeps."""

    def __init__(self, client: Client, keeper: TokenKeeper) -> None:
        self.client = client
        self.keeper = keeper

    @classmethod
    async def start(
        cls,
        world: World,
        connect: Connect,
        *,
        tokens: TokenBook = FILE,
        tagged: TaggedLinks | None = None,
        clock: Any = None,
        origins: Iterable[str] = (),
        pullers: Iterable[Puller] = (),
    ) -> "Aggregator":
        """Serve *world*'s database."""
        clock = clock or world.clock
        store = TokenStore(world.store.change, world.readers)
        keeper = TokenKeeper(store, tokens, clock, os.urandom, SCOPES)
        app = build_app(
            tokens=tokens,
            readers=world.readers,
            store=world.store,
            keyring=world.keyring,
            sources=Sources(list(pullers)),
            reckoner=Reckoner(world.readers),
            clock=clock,
            entropy=os.urandom,
            asker=Asker(world.queries),
            forgetting=world.forgetting(),
            keeper=keeper,
            tagged=tagged,
            origins=frozenset(origins),
        )
        return cls(await connect(app), keeper)

    async def call(
        self, method: str, path: str, token: str | None = OPERATOR, body: Any = None, **headers: str
    ) -> tuple[int, Any, Any]:
        """Make one call; return status, JSON and headers."""
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.client.request(
            method, path, json=body, headers={**shown, **headers}
        ) as answer:
            is_json = answer.content_type.endswith("json")
            return (
                answer.status,
                await answer.json(content_type=None) if is_json else None,
                (answer.headers),
            )

    async def make(self, body: dict[str, Any], *, maker: str = OPERATOR) -> str:
        """Have a token made, and return it."""
        status, told, _ = await self.call("POST", "/v1/tokens", maker, body)
        assert status == 201, told
        return str(told["secret"])


async def pull(world: World, *batches: list[Record]) -> Puller:
    """Have *batches* written by an edge and pulled; return what pulled."""
    edge = await world.add_edge()
    stream = edge.begin()
    for records in batches:
        stream.add(world.epoch, records)
    puller = world.puller(edge)
    await puller.pull()
    return puller
