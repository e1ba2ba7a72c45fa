"""Every call of the aggregator by every kind of token."""

import pytest

from aggregator.api import API, SCOPES
from aggregator.op3.handlers import BASE
from milepost.openapi import Call
from milepost.tokens import HITS_READ
from tests import authorisation
from tests.aggregator.access_world import Aggregator, Connect
from tests.aggregator.combined_world import START, World

OP3_PATHS = (f"{BASE}/hits", f"{BASE}/redirect-logs")


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
    as_op3 = {route for route in routes if route[1].startswith(f"{BASE}/")}

    assert routes - as_op3 == described | {("GET", "/openapi.json")}
    assert {path for method, path in as_op3 if method == "GET"} == {*OP3_PATHS}


@pytest.mark.parametrize("path", OP3_PATHS)
async def test_op3s_calls_let_in_who_may_read_hits(
    path: str, world: World, aiohttp_client: Connect
) -> None:
    """With OP3's answers for all others: 401 for nobody, 403 for whoever shows a token."""
    served = await Aggregator.start(world, aiohttp_client, tokens=authorisation.book(API))

    async def make(body: dict[str, object]) -> str:
        return await served.make(body, maker=authorisation.FULL)

    holders = await authorisation.Holders.make(SCOPES, make, expires_ms=START + 1_000)
    await served.call("DELETE", "/v1/tokens/revoked", authorisation.FULL)
    world.clock.moment = START + 1_000
    let_in = {authorisation.FULL, authorisation.NARROWED, f"only {HITS_READ}"}
    wanted = {kind: 200 if kind in let_in else 403 for kind in holders.tokens}

    assert wanted | {authorisation.NOBODY: 401} == {
        kind: (await served.call("GET", f"{path}?format=json", token))[0]
        for kind, token in holders.tokens.items()
    }
