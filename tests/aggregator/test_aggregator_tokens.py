"""Tokens that the aggregator keeps: made, shown once, in force at once, ended at once."""

from typing import Any

import pytest

from milepost.access.rules import DAY_MS, RATE_DEFAULT, TOKENS_MAX
from milepost.tokens import HITS_READ, Principal, TokenBook, token_hash
from tests.aggregator.access_world import OPERATOR, READER, SERVICE, Aggregator, Connect
from tests.aggregator.combined_world import START, World

MINE: dict[str, Any] = {"name": "mine", "scopes": ["hits:read"]}
MAKER = {"name": "maker", "scopes": ["hits:read", "tokens:read", "tokens:write"]}


@pytest.fixture
async def served(world: World, aiohttp_client: Connect) -> Aggregator:
    """Return an aggregator that keeps no token yet."""
    return await Aggregator.start(world, aiohttp_client)


async def names(served: Aggregator, token: str = OPERATOR) -> list[str]:
    """Return the names of the tokens that *token* sees."""
    status, told, _ = await served.call("GET", "/v1/tokens", token)
    assert status == 200, told
    return [each["name"] for each in told["tokens"]]


async def test_a_token_is_shown_once_and_kept_as_a_hash(world: World, served: Aggregator) -> None:
    """Neither a list nor any file of the database has it."""
    status, told, _ = await served.call("POST", "/v1/tokens", body=MINE)
    _, listed, _ = await served.call("GET", "/v1/tokens")

    assert status == 201
    assert told["token"] == {
        "name": "mine",
        "state": "active",
        "scopes": ["hits:read"],
        "hosts": [],
        "tags": [],
        "rate": RATE_DEFAULT,
        "created_ms": START,
        "created_by": "operator",
        "expires_ms": None,
        "revoked_ms": None,
        "last_used": None,
    }
    assert listed == {"tokens": [told["token"]]}
    files = [path.read_bytes() for path in world.folder.glob("combined.db*")]
    assert any(token_hash(told["secret"]) in content for content in files)
    assert not any(told["secret"].encode() in content for content in files)


async def test_a_token_holds_from_the_next_call_on_until_it_is_revoked(served: Aggregator) -> None:
    """And says what has become of it."""
    token = await served.make(MINE)
    first, _, _ = await served.call("GET", "/v1/hits", token)
    gone, _, _ = await served.call("DELETE", "/v1/tokens/mine")
    again, _, _ = await served.call("DELETE", "/v1/tokens/mine")
    last, told, _ = await served.call("GET", "/v1/hits", token)

    assert (first, gone, again, last) == (200, 204, 204, 401)
    assert told["detail"] == "the token 'mine' is revoked"


async def test_a_token_ends_when_it_expires(world: World, served: Aggregator) -> None:
    """At that very moment, whoever looked last."""
    token = await served.make(MINE | {"expires_ms": START + 1_000})
    world.clock.moment = START + 999
    before, _, _ = await served.call("GET", "/v1/hits", token)
    world.clock.moment = START + 1_000
    after, told, _ = await served.call("GET", "/v1/hits", token)

    assert (before, after) == (200, 401)
    assert told["detail"] == "the token 'mine' is expired"


async def test_tokens_outlive_the_process(world: World, aiohttp_client: Connect) -> None:
    """With what was revoked."""
    first = await Aggregator.start(world, aiohttp_client)
    kept, lost = await first.make(MINE), await first.make(MINE | {"name": "lost"})
    await first.call("DELETE", "/v1/tokens/lost")
    await world.restart()
    second = await Aggregator.start(world, aiohttp_client)

    assert (await second.call("GET", "/v1/hits", kept))[0] == 200
    assert (await second.call("GET", "/v1/hits", lost))[0] == 401


async def test_a_name_is_used_once(served: Aggregator) -> None:
    """Also one of the tokens file, and one that was revoked: a log names tokens by it."""
    await served.make(MINE)
    await served.call("DELETE", "/v1/tokens/mine")

    for name in ("mine", OPERATOR):
        status, told, _ = await served.call("POST", "/v1/tokens", body=MINE | {"name": name})
        assert (status, told["code"]) == (409, "conflict")


async def test_nobody_sees_or_ends_what_they_could_not_make(served: Aggregator) -> None:
    """A token that may make tokens is no way to become more."""
    maker = await served.make(MAKER)
    await served.make(MINE, maker=maker)
    await served.make({"name": "writer", "scopes": ["hits:write"]})
    narrow = await served.make(MAKER | {"name": "narrow", "hosts": ["a.example"]}, maker=maker)

    assert await names(served, maker) == ["maker", "mine", "narrow"]
    assert await names(served, narrow) == ["narrow"]
    assert (await served.call("DELETE", "/v1/tokens/writer", maker))[0] == 403
    assert (await served.call("DELETE", "/v1/tokens/mine", narrow))[0] == 403
    assert (await served.call("DELETE", "/v1/tokens/mine", maker))[0] == 204


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({"scopes": ["hits:write"]}, "lacks the scope 'hits:write'"),
        ({"hosts": ["a.example", "b.example"]}, "lacks the hosts b.example"),
        ({"hosts": []}, "restricted to the hosts a.example: name hosts"),
        ({"rate": 61}, "it has 60 calls a minute itself"),
        ({"expires_ms": START + DAY_MS + 1}, "it expires before that itself"),
    ],
)
async def test_nobody_gives_what_they_lack(
    more: dict[str, Any], lacks: str, served: Aggregator
) -> None:
    """Scopes, hosts, calls or time; the refusal names what."""
    narrow = MAKER | {"hosts": ["a.example"], "rate": 60, "expires_ms": START + DAY_MS}
    maker = await served.make(narrow)
    body = MINE | {"hosts": ["a.example"]}
    good, told, _ = await served.call("POST", "/v1/tokens", maker, body)
    bad, refused, _ = await served.call("POST", "/v1/tokens", maker, body | more)

    assert (good, bad) == (201, 403)
    assert lacks in refused["detail"]
    assert (told["token"]["rate"], told["token"]["expires_ms"]) == (60, START + DAY_MS)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["hits:read", "hits:read"]}, "scopes"),
        ({"scopes": ["pull"]}, "scopes"),
        ({"scopes": [7]}, "scopes"),
        ({"hosts": ["*"]}, "hosts"),
        ({"tags": ["a,b"]}, "tags"),
        ({"rate": 0}, "rate"),
        ({"rate": True}, "rate"),
        ({"expires_ms": START}, "expires_ms"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_wish_is_named(more: dict[str, Any], field: str, served: Aggregator) -> None:
    """Nothing is made of it."""
    status, told, _ = await served.call("POST", "/v1/tokens", body=MINE | more)

    assert (status, told["field"]) == (400, field)
    assert await names(served) == []


async def test_use_is_noted_by_the_day(world: World, served: Aggregator) -> None:
    """A call writes nothing; a later look writes once, and the list knows at once."""
    token = await served.make(MINE)
    changes = "SELECT used_day FROM token"
    for _ in range(3):
        await served.call("GET", "/v1/hits", token)
    before = await world.one(changes)
    _, listed, _ = await served.call("GET", "/v1/tokens")
    await served.keeper.note_used()
    await served.call("GET", "/v1/hits", token)

    assert before is None
    assert listed["tokens"][0]["last_used"] == "2025-11-20"
    assert await world.one(changes) == START // DAY_MS
    assert dict(served.keeper.book.used()) == {}

    world.clock.moment += DAY_MS
    await served.call("GET", "/v1/hits", token)
    await served.keeper.note_used()
    assert await world.one(changes) == START // DAY_MS + 1


async def test_a_token_has_so_many_calls(world: World, served: Aggregator) -> None:
    """Each answer says what is left, also a refusal; others are not held up by it."""
    token = await served.make(MINE | {"rate": 3})
    answers = [await served.call("GET", path, token) for path in ("/v1/hits", "/v1/sources?x=1")]
    forbidden = await served.call("POST", "/v1/set-aside/retry", token)
    refused, told, headers = await served.call("GET", "/v1/hits", token)

    assert [status for status, _, _ in answers] == [200, 400]
    assert [each[2]["RateLimit"] for each in (*answers, forbidden)] == [
        f'"token";r={left};t=20' for left in (2, 1, 0)
    ]
    assert headers["RateLimit-Policy"] == '"token";q=3;w=60'
    assert headers["RateLimit"] == '"token";r=0;t=20'
    assert (refused, told["code"], headers["Retry-After"]) == (429, "too_many", "20")
    world.clock.moment += 20_000
    assert (await served.call("GET", "/v1/hits", token))[0] == 200


async def test_services_have_no_rate_and_people_do(served: Aggregator) -> None:
    """The key server asks as often as its work takes; who is not known is told nothing."""
    _, _, service = await served.call("GET", "/v1/drained?epoch=7&end_ms=1", SERVICE)
    _, _, reader = await served.call("GET", "/v1/hits", READER)
    _, _, nobody = await served.call("GET", "/v1/hits", None)

    assert "RateLimit" not in service
    assert reader["RateLimit-Policy"] == '"token";q=2000;w=10'
    assert "RateLimit" not in nobody


async def test_a_kept_token_ends_when_the_tokens_file_gets_its_name(
    world: World, aiohttp_client: Connect
) -> None:
    """Two under one name would share a rate, and a log could not tell them apart."""
    first = await Aggregator.start(world, aiohttp_client)
    token = await first.make(MINE)
    file = TokenBook([(token_hash("other"), Principal("mine", frozenset({HITS_READ})))])
    second = await Aggregator.start(world, aiohttp_client, tokens=file)

    assert (await second.call("GET", "/v1/hits", token))[0] == 401
    assert (await second.call("GET", "/v1/hits", "other"))[0] == 200


async def test_there_is_room_for_so_many(world: World, served: Aggregator) -> None:
    """The one that ended first makes room; while all are in use there is none."""
    row = "SELECT 'n' || value, randomblob(32), '[]', '[]', '[]', 1, 1, 'x', NULL, NULL, NULL"
    numbers = "WITH n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
    sql = f"INSERT INTO token {numbers} {row} FROM n"
    await world.store.change(lambda db: db.execute(sql, (TOKENS_MAX,)))
    full, told, _ = await served.call("POST", "/v1/tokens", body=MINE)
    revoked = "UPDATE token SET revoked_ms = 5 + (name = 'n7') WHERE name IN ('n7', 'n8')"
    await world.store.change(lambda db: db.execute(revoked))
    made, _, _ = await served.call("POST", "/v1/tokens", body=MINE)

    assert (full, told["code"], made) == (409, "conflict", 201)
    assert await world.one("SELECT count(*) FROM token WHERE name IN ('n7', 'n8')") == 1
    assert await world.one("SELECT name FROM token WHERE name IN ('n7', 'n8')") == "n7"


async def test_pages_of_listed_origins_may_call(world: World, aiohttp_client: Connect) -> None:
    """And see how many calls are left."""
    served = await Aggregator.start(world, aiohttp_client, origins=["https://app.example"])
    _, _, told = await served.call("GET", "/v1/hits", READER, Origin="https://app.example")
    _, _, other = await served.call("GET", "/v1/hits", READER, Origin="https://evil.example")

    assert told["Access-Control-Allow-Origin"] == "https://app.example"
    assert "RateLimit-Policy" in told["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other
