"""`GET /v1/downloads`: what the rule says of all hits of whole days."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from aggregator.classifying import downloads as rule
from aggregator.downloads import tally
from aggregator.downloads.question import read_question
from milepost.errors import RejectedError
from milepost.record import Record
from milepost.vocabulary import Millis, VisitorHash
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_aggregator_query import READ, Client, Connect, connect, pull

DAY_MS = 86_400_000
PERSON = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36"
)
BOT = "Googlebot/2.1 (+http://www.google.com/bot.html)"


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


async def told(client: Client, **params: str) -> dict[str, Any]:
    """Return the answer."""
    answer = await client.get("/v1/downloads", params=params, headers=READ)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


def records() -> list[Record]:
    """Return hits of about three days, with few visitors and targets, in no order."""
    chance = Random(2)
    return [
        a_record(
            each,
            time=START - chance.randrange(3 * DAY_MS),
            method=chance.choice(["GET", "GET", "GET", "HEAD"]),
            target=f"https://m.example/{chance.randrange(3)}.mp3",
            link=chance.choice(["one", "two", None]),
            range=chance.choice([None, "bytes=0-", "bytes=0-1", "bytes=0-0"]),
            visitor=VisitorHash(bytes([chance.randrange(6)]) * 16),
            agent=chance.choice([PERSON, PERSON, BOT]),
        )
        for each in range(600)
    ]


def expected(hits: list[Record], *, bots: bool) -> list[Record]:
    """Return the downloads among *hits*."""
    ordered = sorted(hits, key=lambda each: each.time)
    counter = rule.Counter(bots=bots)
    rows = [
        rule.Row(
            number,
            Millis(each.time),
            each.method,
            each.status,
            each.target,
            each.range,
            each.visitor,
            each.agent,
            each.referer,
            person=each.agent == PERSON,
        )
        for number, each in enumerate(ordered)
    ]
    return [ordered[each.id] for each in [*counter.count(rows), *counter.rest()]]


async def test_the_rule_over_days(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the pieces are in which it is read, and by whatever it is counted."""
    monkeypatch.setattr(tally, "PIECE_ROWS", 37)
    hits = records()
    await pull(world, *(hits[at : at + 100] for at in range(0, 600, 100)))
    people, all_of = expected(hits, bots=False), expected(hits, bots=True)

    by_day = await told(client)
    by_target = await told(client, group_by="target", bots="include")
    by_link = await told(client, group_by="link", limit="1")
    one_target = await told(client, target="https://m.example/1.mp3")

    days = Counter(each.time // DAY_MS for each in people)
    assert by_day["rule"] == "op3-2026-08"
    assert (by_day["start"], by_day["end"]) == (
        "2025-11-14T00:00:00.000Z",
        "2025-11-21T00:00:00.000Z",
    )
    assert [row["downloads"] for row in by_day["rows"]] == [
        days[START // DAY_MS - back] for back in range(6, -1, -1)
    ]
    assert by_day["downloads"] == len(people) < len(all_of)
    assert by_target["rows"] == [
        {"target": target, "downloads": count}
        for target, count in sorted(
            Counter(each.target for each in all_of).items(), key=lambda each: (-each[1], each[0])
        )
    ]
    links = Counter(each.link for each in people)
    assert by_link["groups"] == 3
    assert [row["downloads"] for row in by_link["rows"]] == [max(links.values())]
    assert one_target["downloads"] == sum(each.target.endswith("1.mp3") for each in people)


async def test_whole_days_and_bounds(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of a day is told as the whole day; what would take too much is refused."""
    await pull(world, [a_record(each, agent=PERSON, visitor=None) for each in range(5)])
    answer = await told(client, start="2025-11-20T11:00:00Z", end="2025-11-20T11:30:00Z")
    assert (answer["downloads"], len(answer["rows"])) == (1, 1)

    monkeypatch.setattr(tally, "ROWS_MAX", 4)
    response = await client.get("/v1/downloads", headers=READ)
    assert (response.status, (await response.json())["code"]) == (422, "too_broad")
    response = await client.get("/v1/downloads", headers={"Authorization": "Bearer other"})
    assert response.status == 403


async def test_days_of_which_rows_are_gone(world: World, client: Client) -> None:
    """They are refused with the moment, unless what went is not asked for."""
    await pull(world, [a_record(each, agent=PERSON) for each in range(5)])
    await world.writer.transact(
        lambda db: db.execute(
            "INSERT INTO retained VALUES ('prefix', ?, 0, 0)", (START - START % DAY_MS,)
        )
    )

    gone = await client.get("/v1/downloads?start=2025-11-19&end=2025-11-21", headers=READ)
    others = await told(client, start="2025-11-19", end="2025-11-21", kind="link")
    since = await told(client, start="2025-11-20", end="2025-11-21")

    assert (gone.status, (await gone.json())["code"]) == (422, "too_broad")
    assert "before 2025-11-20T00:00:00.000Z are gone" in (await gone.json())["detail"]
    assert others["downloads"] == since["downloads"] == 5


@pytest.mark.parametrize(
    "params",
    [
        {"start": "2025-11-20", "end": "2025-11-20"},
        {"start": "2024-01-01", "end": "2025-11-20"},
        {"group_by": "country"},
        {"limit": "0"},
        {"limit": "10001"},
        {"bots": "some"},
        {"start": "x"},
        {"start": "999999900000000", "end": "999999999999999"},
        {"start": "0001-01-01T00:00:00+14:00", "end": "0001-01-02"},
    ],
)
def test_refusals(params: dict[str, str]) -> None:
    """Each names what is wrong."""
    with pytest.raises(RejectedError, match=next(reversed(params))):
        read_question({name: [value] for name, value in params.items()}, START)
