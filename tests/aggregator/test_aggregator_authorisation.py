"""Every call of the aggregator by every kind of token."""

import pytest

from aggregator.api import API, SCOPES
from milepost.openapi import Call
from tests import authorisation
from tests.aggregator.access_world import Aggregator, Connect
from tests.aggregator.combined_world import START, World


@pytest.mark.parametrize("call", API.calls, ids=lambda call: call.name)
async def test_a_call_lets_in_whom_the_table_says(
    call: Call, world: World, aiohttp_client: Connect
) -> None:
    """And nobody else: 401 for whom nobody knows any more, 403 for who may not do this."""
    served = await Aggregator.start(world, aiohttp_client, tokens=authorisation.book(API))

    async def make(body: dict[str, object]) -> str:
        return await served.make(body, maker=authorisation.FULL)

    async def ask(method: str, path: str, token: str | None) -> authorisation.Answered:
        return (await served.call(method, path, token, {} if call.body else None))[:2]

    holders = await authorisation.Holders.make(SCOPES, make, expires_ms=START + 1_000)
    assert (await ask("DELETE", "/v1/tokens/revoked", authorisation.FULL))[0] == 204
    world.clock.moment = START + 1_000
    found = await authorisation.verdicts(call, holders, SCOPES, ask)

    assert {kind: got for kind, (_, got) in found.items()} == {
        kind: wanted for kind, (wanted, _) in found.items()
    }


async def test_every_route_stands_in_the_table(world: World, aiohttp_client: Connect) -> None:
    """So that none is left out above, and none is served that is not described."""
    served = await Aggregator.start(world, aiohttp_client)
    routes = {
        (route.method, route.resource.canonical)
        for route in served.client.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(call.method, call.path) for call in API.calls}

    assert routes == described | {("GET", "/openapi.json")}
