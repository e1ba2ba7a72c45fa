"""`GET /v1/hits` as callers see it: filters, formats, and what costs too much."""

import pytest

from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from tests.aggregator.combined_world import World, a_record
from tests.aggregator.test_aggregator_query import READ, Client, Connect, connect, pull


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


async def test_filters_take_alternatives_and_exceptions(world: World, client: Client) -> None:
    """Several of one name are any of them, and times may be told from now."""
    await pull(world, [a_record(1), a_record(2, region="cdg"), a_record(3, region="nrt")])

    async def paths(query: str) -> list[str]:
        response = await client.get(f"/v1/hits?{query}", headers=READ)
        return [hit["path"][-1] for hit in (await response.json())["hits"]]

    assert await paths("region=cdg&region=nrt") == ["3", "2"]
    assert await paths("region=!cdg&url=https://a.example/spring*") == ["3", "1"]
    assert await paths("country=&start=-1h&tz=Asia/Tokyo") == ["3", "2", "1"]
    assert await paths("target=https://shop.*&columns=path&region=dfw") == ["1"]


async def test_lines_say_where_the_next_page_is(world: World, client: Client) -> None:
    """CSV holds nothing but rows; a formula that somebody sent is not computed."""
    await pull(world, [a_record(1, agent="=1+1"), a_record(2, agent=None)])
    params = {"format": "csv", "columns": "path,agent", "direction": "asc", "limit": "1"}

    first = await client.get("/v1/hits", params=params, headers=READ)
    cursor = {"cursor": first.headers["Milepost-Next"]}
    second = await client.get("/v1/hits", params={**params, **cursor}, headers=READ)

    assert first.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert await first.text() == "path,agent\n/spring?n=1,'=1+1\n"
    assert await second.text() == "path,agent\n/spring?n=2,\n"
    assert "Milepost-Previous" in second.headers
    assert "Milepost-Next" not in second.headers


async def test_what_costs_too_much_is_refused(world: World, aiohttp_client: Connect) -> None:
    """With a problem that says what to narrow."""
    await pull(world, *([a_record(each, region="cdg") for each in range(600)] for _ in range(4)))
    few = Allowance(rows=1_000, seconds=60)
    client = await connect(world, aiohttp_client, asker=Asker(world.queries, few))
    response = await client.get("/v1/hits?country=!", headers=READ)
    problem = await response.json()

    assert (response.status, problem["code"]) == (422, "too_broad")
    assert "narrow start and end" in problem["detail"]
