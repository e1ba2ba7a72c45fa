"""`GET /v1/reconciliation`, and `milepost reconcile` in front of it."""

from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pytest_aiohttp.plugin import AiohttpClient

from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.reconciling.reckoner import Reckoner
from milepost.batch import HOUR_MS, hour_of
from milepost.tokens import HITS_READ, HITS_WRITE, Principal, TokenBook, token_hash
from milepost.vocabulary import Millis, Scope
from tests.aggregator.combined_world import START, World, a_record

PATH = "/v1/reconciliation"
HOURS = 30


async def api(
    world: World,
    aiohttp_client: AiohttpClient,
    scope: Scope = HITS_READ,
    reckoner: Reckoner | None = None,
) -> TestClient[Any, Any]:
    """Return a client of the query API whose token has *scope*."""
    book = TokenBook([(token_hash("t"), Principal("t", frozenset([scope])))])
    app = build_app(
        tokens=book,
        readers=world.readers,
        store=world.store,
        keyring=world.keyring,
        sources=Sources(),
        reckoner=reckoner or Reckoner(world.readers),
        clock=world.clock,
        entropy=Random(5).randbytes,
        asker=Asker(world.queries),
        forgetting=world.forgetting(),
    )
    client: TestClient[Any, Any] = await aiohttp_client(app, headers={"Authorization": "Bearer t"})
    return client


async def told(client: TestClient[Any, Any], **query: str) -> dict[str, Any]:
    """Return what is answered."""
    answer = await client.get(PATH, params=query)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def two_days(world: World) -> None:
    """Pull two regions with a record in each of 30 hours."""
    for region in ("dfw", "cdg"):
        edge = await world.add_edge(region)
        times = [Millis(START + hour * HOUR_MS) for hour in range(HOURS)]
        edge.begin().add(world.epoch, [a_record(n, time=t) for n, t in enumerate(times)])
        await world.puller(edge).pull()
    world.clock.moment = START + (HOURS - 1) * HOUR_MS


async def test_sums_are_over_everything_and_hours_of_the_last_day(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Unless others are asked for."""
    await two_days(world)
    client = await api(world, aiohttp_client)

    found = await told(client)

    assert found["total"]["recorded"] == found["total"]["pulled"] == 2 * HOURS
    assert found["total"]["unaccounted"] == 0
    assert [each["region"] for each in found["regions"]] == ["cdg", "dfw"]
    assert len(found["hours"]) == 2 * 25
    assert found["hours"][0]["hour"] > found["hours"][-1]["hour"]
    assert found["next"] is None
    assert (found["unaccounted"], found["spans"]) == ([], [])


async def test_a_range_hides_no_alarm(world: World, aiohttp_client: AiohttpClient) -> None:
    """What is unaccounted is told whenever it was."""
    await two_days(world)
    await world.writer.transact(
        lambda db: db.execute(
            "UPDATE tally SET pulled = 5 WHERE hour_ms = ? AND life IN"
            " (SELECT life FROM life WHERE region = 'dfw')",
            (hour_of(START),),
        )
    )
    client = await api(world, aiohttp_client)

    found = await told(client, start="2026-01-01T00:00:00Z")

    assert found["hours"] == []
    assert found["total"]["unaccounted"] == 4
    place = {"region": "dfw", "hour": "2025-11-20T12:00:00.000Z"}
    assert found["unaccounted"] == [{**place, "unaccounted": 4}]
    assert (await told(client, region="cdg"))["total"]["unaccounted"] == 0


async def test_pages_hold_each_hour_once(world: World, aiohttp_client: AiohttpClient) -> None:
    """`next` is the end of the range that holds the rest."""
    await two_days(world)
    client = await api(world, aiohttp_client)
    seen: list[tuple[str, str]] = []
    query = {"start": str(START), "limit": "7"}
    while True:
        found = await told(client, **query)
        assert len(found["hours"]) <= 7
        seen += [(each["region"], each["hour"]) for each in found["hours"]]
        if found["next"] is None:
            break
        query["end"] = found["next"]

    assert len(seen) == len(set(seen)) == 2 * HOURS


@pytest.mark.parametrize(
    "query",
    [{"start": "yesterday"}, {"limit": "0"}, {"limit": "10001"}, {"host": "a"}, {"region": ""}],
    ids=["no moment", "none", "too many", "unknown", "no region"],
)
async def test_what_makes_no_sense_is_refused(
    world: World, aiohttp_client: AiohttpClient, query: dict[str, str]
) -> None:
    """Naming the parameter."""
    client = await api(world, aiohttp_client)

    answer = await client.get(PATH, params=query)

    assert answer.status == 400
    assert next(iter(query)) in (await answer.json())["detail"]


async def test_it_takes_the_scope_of_those_who_read(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """Another is not enough."""
    client = await api(world, aiohttp_client, HITS_WRITE)

    assert (await client.get(PATH)).status == 403


async def test_an_alarm_is_noted_where_readiness_is_told(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """The service does its work all the same: it is no reason not to be ready."""
    await two_days(world)
    await world.writer.transact(lambda db: db.execute("UPDATE tally SET pulled = 5"))
    reckoner = Reckoner(world.readers)
    client = await api(world, aiohttp_client, reckoner=reckoner)
    assert "notes" not in await (await client.get("/readyz")).json()

    await reckoner.step()

    said = await (await client.get("/readyz")).json()
    assert "unaccounted" not in said["reasons"]
    assert "unaccounted" in said["notes"]


async def test_hours_beyond_the_calendar_stop_nobody(
    world: World, aiohttp_client: AiohttpClient
) -> None:
    """An edge that says nonsense is an alarm, in an answer that can be read."""
    edge = await world.add_edge()
    beyond = f"[[{(1 << 53) - 1},1,0,{(1 << 53) - 1},0]]"
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)], tally=beyond)
    stream.more = {(1 << 62) - 1: (1 << 62, 1 << 62, 1 << 62)}
    await world.puller(edge).pull()
    edge.streams.clear()
    await world.puller(edge).pull()
    client = await api(world, aiohttp_client)

    found = await told(client, start="0", limit="1")

    assert found["total"]["unaccounted"] == 2
    assert found["hours"][0]["hour"] == "9999-12-31T23:59:59.999Z"
    assert len(found["spans"]) == 1
    assert (await told(client, start="0", limit="1", end=found["next"]))["next"] is None
