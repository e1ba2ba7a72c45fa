"""`GET /v1/stats` as callers see it."""

from typing import Any

import pytest

from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.rolling.store import roll_block
from milepost.vocabulary import VisitorHash
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_aggregator_query import OTHER, READ, Client, Connect, connect, pull

PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0"
BOT = "Googlebot/2.1 (+http://www.google.com/bot.html)"
DAY = {"start": "2025-11-20", "end": "2025-11-21"}


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


async def ask(client: Client, **params: str) -> Any:
    """Return the answer of `GET /v1/stats`."""
    response = await client.get("/v1/stats", params=params, headers=READ)
    assert response.status == 200, await response.text()
    return await response.json()


async def test_an_answer_says_what_it_counts(world: World, client: Client) -> None:
    """The range in whole hours, the way it was counted, totals, series and groups."""
    same = VisitorHash(b"\1" * 16)
    await pull(
        world,
        [
            a_record(1, visitor=same, agent=PERSON),
            a_record(2, visitor=same, agent=PERSON, country="FR"),
            a_record(3_600_003, agent=PERSON, region="cdg", status=404),
        ],
    )
    told = await ask(
        client,
        start="2025-11-20T12:10:00Z",
        end="2025-11-20T14:20:00+01:00",
        interval="hour",
        group_by="region",
    )

    assert told == {
        "start": "2025-11-20T12:00:00.000Z",
        "end": "2025-11-20T14:00:00.000Z",
        "tz": "UTC",
        "bots": "exclude",
        "rolled": True,
        "epochs": 1,
        "total": {"hits": 3, "clicks": 2, "uniques": 1},
        "interval": "hour",
        "series": [
            {"start": "2025-11-20T12:00:00.000Z", "hits": 2, "clicks": 2, "uniques": 1},
            {"start": "2025-11-20T13:00:00.000Z", "hits": 1, "clicks": 0, "uniques": 0},
        ],
        "group_by": ["region"],
        "groups": [
            {
                "region": "dfw",
                "hits": 2,
                "clicks": 2,
                "uniques": 1,
                "series": {"hits": [2, 0], "clicks": [2, 0], "uniques": [1, 0]},
            },
            {
                "region": "cdg",
                "hits": 1,
                "clicks": 0,
                "uniques": 0,
                "series": {"hits": [0, 1], "clicks": [0, 0], "uniques": [0, 0]},
            },
        ],
        "rest": {"groups": 0, "hits": 0, "clicks": 0},
    }


async def test_bots_are_left_out_unless_asked_for(world: World, client: Client) -> None:
    """They are classified, and never dropped."""
    await pull(world, [a_record(1, agent=PERSON), a_record(2, agent=BOT), a_record(3, agent=BOT)])

    told = {
        bots: (await ask(client, **DAY, bots=bots))["total"]["clicks"]
        for bots in ("exclude", "include", "only")
    }

    assert told == {"exclude": 1, "include": 3, "only": 2}
    assert (await ask(client, **DAY))["bots"] == "exclude"


async def test_without_a_range_it_is_the_last_30_days(world: World, client: Client) -> None:
    """In whole hours, with zeros for days of which there is nothing."""
    told = await ask(client, interval="day")

    assert told["start"] == "2025-10-21T12:00:00.000Z"
    assert told["end"] == "2025-11-20T12:00:00.000Z"
    assert len(told["series"]) == 31
    assert {tuple(each.values())[1:] for each in told["series"]} == {(0, 0, 0)}
    assert world.clock.now() == START


async def test_rows_answer_what_rollups_cannot(world: World, client: Client) -> None:
    """Two filters, two dimensions, and days that begin at half past."""
    await pull(
        world,
        [
            a_record(1, agent=PERSON, country="DE"),
            a_record(2, agent=PERSON, country="DE", region="cdg"),
            a_record(3, agent=PERSON, country="FR"),
        ],
    )

    two = await ask(client, **DAY, country="DE", region="dfw")
    grouped = await ask(client, **DAY, group_by="country,region")
    india = await ask(client, **DAY, tz="Asia/Kolkata", interval="day")

    assert [each["rolled"] for each in (two, grouped, india)] == [False] * 3
    assert two["total"] == {"hits": 1, "clicks": 1, "uniques": 1}
    assert [(each["country"], each["region"]) for each in grouped["groups"]] == [
        *(("DE", "cdg"), ("DE", "dfw"), ("FR", "dfw")),
    ]
    assert india["series"] == [
        {"start": "2025-11-20T00:00:00.000+05:30", "hits": 3, "clicks": 3, "uniques": 3}
    ]


async def test_uniques_are_left_out_on_demand(world: World, client: Client) -> None:
    """Of hours they cost rows, hits and clicks do not."""
    await pull(world, [a_record(1, agent=PERSON)])

    told = await ask(client, **DAY, uniques="false", interval="month", group_by="link")

    assert told["total"] == {"hits": 1, "clicks": 1}
    assert told["series"] == [{"start": "2025-11-20T00:00:00.000Z", "hits": 1, "clicks": 1}]
    assert told["groups"][0]["series"] == {"hits": [1], "clicks": [1]}


async def test_what_many_groups_come_to_is_told_together(world: World, client: Client) -> None:
    """Their hits and clicks; visitors of several groups would count more than once."""
    links = ["one", "one", "two", "two", "three", "four"]
    await pull(
        world, [a_record(n, agent=PERSON, link=link) for n, link in enumerate(links, start=1)]
    )

    told = await ask(client, **DAY, group_by="link", limit="2")

    assert [each["link"] for each in told["groups"]] == ["one", "two"]
    assert told["rest"] == {"groups": 2, "hits": 2, "clicks": 2}


async def test_what_costs_too_much_is_refused_with_advice(
    world: World, aiohttp_client: Connect
) -> None:
    """The problem says what to narrow; what is rolled up is answered all the same."""
    await pull(world, *([a_record(each, agent=PERSON) for each in range(700)] for _ in range(2)))
    client = await connect(
        world, aiohttp_client, asker=Asker(world.queries, Allowance(rows=1_000, seconds=60))
    )

    refused = await client.get("/v1/stats?group_by=link,region", headers=READ)
    problem = await refused.json()
    told = await ask(client, end=str(START + 3_600_000), group_by="link")

    assert (refused.status, problem["code"]) == (422, "too_broad")
    assert "shorter range" in problem["detail"]
    assert told["total"]["hits"] == 1_400


async def test_rows_that_are_gone_are_missed_by_nobody_unheard(
    world: World, client: Client
) -> None:
    """Rollups still count them; who needs the rows is told since when there are some."""
    late = 7_200_000
    rows = [a_record(n + late * (n % 2), agent=PERSON) for n in range(1, 1_101)]
    await pull(world, rows[:600], rows[600:])
    await world.writer.transact(roll_block)
    since_ms = START + late
    await world.writer.transact(
        lambda db: db.execute("DELETE FROM hit WHERE time_ms < ?", (since_ms,))
    )
    await world.writer.transact(
        lambda db: db.execute("INSERT INTO retained VALUES ('link', ?, 0, 0)", (since_ms + 1,))
    )

    told = await ask(client, **DAY, group_by="region")
    refused = await client.get("/v1/stats", params={**DAY, "group_by": "region,kind"}, headers=READ)
    some = await ask(client, start=told["rows_since"], end=DAY["end"], group_by="region,kind")

    assert (told["rows_since"], told["total"]["hits"]) == ("2025-11-20T15:00:00.000Z", 1_100)
    assert refused.status == 422
    assert "before 2025-11-20T15:00:00.000Z are gone" in (await refused.json())["detail"]
    assert some["total"]["hits"] == 0


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("group_by=link,link", "group_by: want one or two"),
        ("group_by=total", "group_by: want one or two"),
        ("group_by=link,region,kind", "group_by: want one or two"),
        ("interval=minute", "interval: want one of hour, day, week, month"),
        ("interval=hour&start=2020-01-01", "interval: at most 10000 buckets"),
        ("interval=hour&group_by=link", "limit: want at most 138 groups"),
        (
            "interval=month&start=1971-01-01&tz=Africa/Monrovia",
            "interval: the range",
        ),
        ("tz=Mars", "tz: want the name of a time zone"),
        ("start=now&end=-1h", "start: want a moment before the end"),
        ("end=999999999999999", "end: want a moment from 1970 to 9892"),
        ("start=0&end=249999999999999", "start: want at most 100 years before the end"),
        ("start=yesterday", "start: want RFC 3339"),
        ("bots=maybe", "bots: want one of exclude, include, only"),
        ("bots=only&bots=only", "bots: want at most 1"),
        ("uniques=no", "uniques: want one of true, false"),
        ("limit=0", "limit: want a whole number, 1 to 1000"),
        ("order=time", "order: want one of kind"),
        ("visitor=zz", "visitor: want 32 hex digits"),
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, query: str, detail: str) -> None:
    """With what it accepts."""
    if "limit: want at most" in detail:
        query += "&limit=1000"
    response = await client.get(f"/v1/stats?{query}", headers=READ)

    assert response.status == 400
    assert detail in (await response.json())["detail"]


async def test_sums_are_for_those_who_may_read_hits(client: Client) -> None:
    """Nobody else learns how many there are."""
    assert (await client.get("/v1/stats")).status == 401
    assert (await client.get("/v1/stats", headers=OTHER)).status == 403
