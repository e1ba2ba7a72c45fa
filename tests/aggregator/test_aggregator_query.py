"""The query API: what may be asked, who may ask, and that no page loses a row."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from aggregator.app import build_app
from aggregator.asking.asker import Asker
from aggregator.discovery.sources import Sources
from aggregator.pulling.puller import Puller
from aggregator.query.params import rfc3339
from aggregator.reconciling.reckoner import Reckoner
from aggregator.searching.question import read_question
from milepost.errors import RejectedError
from milepost.record import Record
from milepost.tokens import HITS_READ, LINKS_READ, Principal, TokenBook, token_hash
from milepost.vocabulary import Millis, VisitorHash
from tests.aggregator.combined_world import START, World, a_record

Client = TestClient[web.Request, web.Application]
Connect = Callable[[web.Application], Awaitable[Client]]

READ = {"Authorization": "Bearer reader"}
OTHER = {"Authorization": "Bearer other"}


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


async def connect(
    world: World,
    aiohttp_client: Connect,
    pullers: list[Puller] | None = None,
    asker: Asker | None = None,
) -> Client:
    """Return a caller of the aggregator on *world*'s database."""
    tokens = TokenBook(
        (token_hash(name), Principal(name, frozenset({scope})))
        for name, scope in (("reader", HITS_READ), ("other", LINKS_READ))
    )
    app = build_app(
        tokens=tokens,
        readers=world.readers,
        store=world.store,
        keyring=world.keyring,
        sources=Sources(
            [world.puller(edge) for edge in world.edges] if pullers is None else pullers
        ),
        reckoner=Reckoner(world.readers),
        clock=world.clock,
        entropy=bytes,
        asker=asker or Asker(world.queries),
        forgetting=world.forgetting(),
    )
    return await aiohttp_client(app)


async def pull(world: World, *batches: list[Record]) -> None:
    """Have *batches* written by an edge and pulled."""
    edge = await world.add_edge()
    stream = edge.begin()
    for records in batches:
        stream.add(world.epoch, records)
    await world.puller(edge).pull()


async def ask(client: Client, **params: str) -> Any:
    """Return the answer of `GET /v1/hits`."""
    response = await client.get("/v1/hits", params=params, headers=READ)
    assert response.status == 200, await response.text()
    return await response.json()


async def page_through(client: Client, limit: int, **params: str) -> list[str]:
    """Return the ids of all pages."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(1_000):
        answer = await ask(client, limit=str(limit), **params, **cursor)
        found += [hit["id"] for hit in answer["hits"]]
        if answer["next"] is None:
            return found
        cursor = {"cursor": answer["next"]}
    msg = "the pages never end"
    raise AssertionError(msg)


async def test_a_hit_has_the_promised_shape(world: World, client: Client) -> None:
    """What there was is told under its name; what there was not is left out."""
    await pull(
        world, [a_record(1, country="FR", asn=64500, opt_out=False, oddity="trailing_space")]
    )

    (hit,) = (await ask(client))["hits"]
    number = hit.pop("id")

    assert number.endswith(":0")
    assert len(number) == 34
    assert hit == {
        "time": "2025-11-20T12:00:00.001Z",
        "region": "dfw",
        "kind": "link",
        "method": "GET",
        "host": "a.example",
        "path": "/spring?n=1",
        "target": "https://shop.example/",
        "status": 302,
        "link": "spring",
        "visitor": "01" * 16,
        "country": "FR",
        "asn": 64500,
        "opt_out": False,
        "oddity": "trailing_space",
        "agent": "Mozilla/5.0",
        "browser": "Bare Mozilla",
        "class": "bot",
        "epoch": 7,
    }


FILTERS: list[tuple[dict[str, str], list[int]]] = [
    ({}, [3, 2, 1]),
    ({"region": "cdg"}, [2]),
    ({"region": "nowhere"}, []),
    ({"kind": "orphan"}, [3]),
    ({"link": "spring", "region": "dfw"}, [1]),
    ({"host": "b.example"}, [3]),
    ({"visitor": "02" * 16}, [2]),
    ({"start": str(START + 2)}, [3, 2]),
    ({"end": str(START + 2)}, [1]),
    ({"start": "2025-11-20T13:00:00.002+01:00", "end": "2025-11-20T12:00:00.003Z"}, [2]),
    ({"direction": "asc"}, [1, 2, 3]),
    ({"order": "arrival"}, [2, 1, 3]),
    ({"order": "arrival", "direction": "desc"}, [3, 1, 2]),
    ({"limit": "1"}, [3]),
]


@pytest.mark.parametrize(("params", "expected"), FILTERS, ids=[str(each[0]) for each in FILTERS])
async def test_filters_combine_and_orders_hold(
    world: World, client: Client, params: dict[str, str], expected: list[int]
) -> None:
    """Each parameter narrows or orders, and start belongs while end does not."""
    await pull(
        world,
        [a_record(2, region="cdg")],
        [a_record(1), a_record(3, kind="orphan", link=None, host="b.example")],
    )

    answer = await ask(client, **params)

    assert [int(hit["path"].partition("=")[2]) for hit in answer["hits"]] == expected


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("colour=red", "colour: want one of kind"),
        ("limit=0", "limit: want a whole number, 1 to 10000"),
        ("limit=10001", "limit: want"),
        ("limit=ten", "limit: want"),
        ("order=size", "order: want one of time, arrival"),
        ("direction=up", "direction: want one of desc, asc"),
        ("start=yesterday", "start: want RFC 3339"),
        ("end=2025-11-20T12:00:00", "end: want RFC 3339"),
        ("visitor=xyz", "visitor: want 32 hex digits"),
        ("tz=Mars", "tz: want the name of a time zone"),
        ("status=ok", "status: want a whole number"),
        ("limit=1&limit=2", "limit: want at most 1"),
        ("format=xml", "format: want one of json, jsonl, csv, tsv"),
        ("columns=id,colour", "columns: want some of id, time"),
        ("columns=id,id", "columns: want some of id, time"),
        ("cursor=!!", "cursor: want `next`"),
        ("cursor=%C3%A9", "cursor: want `next`"),
        ("cursor=W10", "cursor: want `next`"),
    ],
)
async def test_a_wrong_parameter_is_named(client: Client, query: str, named: str) -> None:
    """A refusal says which parameter it was and what is accepted."""
    response = await client.get(f"/v1/hits?{query}", headers=READ)
    problem = await response.json()

    assert response.status == 400
    assert response.content_type == "application/problem+json"
    assert problem["detail"].startswith(named)


@pytest.mark.parametrize("path", ["/v1/hits", "/v1/sources"])
@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"Authorization": "Bearer guess"}, 401), (OTHER, 403)]
)
async def test_only_who_may_read_hits_reads(
    client: Client, path: str, headers: dict[str, str], status: int
) -> None:
    """No token, an unknown one, or one without the scope gets nothing."""
    response = await client.get(path, headers=headers)

    assert response.status == status
    assert "hits" not in await response.json()


async def test_a_cursor_is_good_for_its_question_only(world: World, client: Client) -> None:
    """Going on under other filters or in another order would silently skip rows."""
    await pull(world, [a_record(1), a_record(2)])
    cursor = (await ask(client, limit="1"))["next"]

    for changed in ({"region": "dfw"}, {"direction": "asc"}, {"order": "arrival"}):
        response = await client.get("/v1/hits", params={"cursor": cursor, **changed}, headers=READ)
        assert response.status == 400


async def test_pages_lose_and_repeat_nothing(world: World, client: Client) -> None:
    """Whatever the limit and the order, also where many rows share a moment."""
    moments = [0, 0, 0, 5, 5, 1, 9, 0]
    await pull(world, *([a_record(each), a_record(each)] for each in moments))
    whole = set(await page_through(client, 10_000))

    for limit in (1, 2, 3, 7, 16):
        for order in ("time", "arrival"):
            for direction in ("asc", "desc"):
                found = await page_through(client, limit, order=order, direction=direction)
                assert len(found) == 16
                assert set(found) == whole


async def test_rows_that_come_meanwhile_do_not_shift_a_page(world: World, client: Client) -> None:
    """A cursor is a place and not a count: what is newer does not push rows into view again."""
    await pull(world, [a_record(1), a_record(2), a_record(3)])
    first = await ask(client, limit="2")
    await pull(world, [a_record(4)])

    second = await ask(client, limit="2", cursor=first["next"])

    assert [hit["path"] for hit in second["hits"]] == ["/spring?n=1"]


@given(st.text(max_size=60))
def test_no_cursor_crashes(text: str) -> None:
    """Whatever is sent as a cursor is refused, or was made here."""
    with pytest.raises(RejectedError, match="cursor"):
        read_question({"cursor": [text]}, 0)


@given(st.integers(0, 253_402_300_799_999))
def test_every_moment_is_written_and_read_back(moment: int) -> None:
    """The time of a hit can be used as a filter, to the millisecond."""
    assert read_question({"start": [rfc3339(moment)]}, 0).selection.start_ms == moment


async def test_sources_tell_how_each_does(world: World, aiohttp_client: Connect) -> None:
    """Cursor, lag in records, and the last error, per source."""
    edge, dead = await world.add_edge("cdg"), await world.add_edge("nrt")
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1)])
    stream.add(world.epoch, [a_record(2), a_record(3)])
    edge.limit = 1
    dead.fault = {"detail": "no"}
    client = await connect(world, aiohttp_client)
    await world.puller(edge).pull()
    response = await client.get("/v1/sources", headers=READ)
    told = await response.json()

    assert told["waiting"] == told["set_aside"] == {"batches": 0, "records": 0}
    assert [each["url"] for each in told["sources"]] == [edge.url, dead.url]
    assert told["sources"][0]["region"] == "cdg"
    assert told["sources"][0]["lag_records"] == 2
    (listed,) = told["sources"][0]["streams"]
    assert (listed["stream"], listed["seq"], listed["last_seq"]) == (stream.id.hex(), 1, 2)
    assert told["sources"][1]["last_error"] == "has not answered since the start"


async def lags(client: Client) -> list[float]:
    """Return the lag in seconds of each source, which is that of its worst stream or more."""
    told = await (await client.get("/v1/sources", headers=READ)).json()
    for source in told["sources"]:
        worst = max([0, *(stream["lag_seconds"] for stream in source["streams"])])
        assert source["lag_seconds"] >= worst
    return [source["lag_seconds"] for source in told["sources"]]


async def test_a_lag_in_seconds(world: World, aiohttp_client: Connect) -> None:
    """The age of the newest record applied while something announced is missing, else nothing."""
    edge = await world.add_edge()
    stream = edge.begin()
    puller = world.puller(edge)
    client = await connect(world, aiohttp_client, [puller])
    stream.add(world.epoch, [a_record(1_000)])
    stream.add(world.epoch, [a_record(9_000)])
    edge.limit = 1
    world.clock.moment += 60_000
    await puller.step()
    behind = await lags(client)
    await puller.step()
    caught_up = await lags(client)
    world.clock.moment += 3_600_000
    idle = await lags(client)

    assert (behind, caught_up, idle) == ([59.0], [0.0], [0.0])


async def test_a_quiet_hour_is_no_lag(world: World, aiohttp_client: Connect) -> None:
    """What is missing came after the last answer that left nothing missing."""
    edge = await world.add_edge()
    stream = edge.begin()
    puller = world.puller(edge)
    client = await connect(world, aiohttp_client, [puller])
    stream.add(world.epoch, [a_record(1)])
    await puller.step()
    world.clock.moment += 3_600_000
    await puller.step()
    stream.add(world.epoch, [a_record(3_601_000)])
    stream.add(world.epoch, [a_record(3_601_000)])
    edge.limit = 0
    world.clock.moment += 2_000
    await puller.step()

    assert await lags(client) == [2.0]


async def test_what_a_shorter_file_lacks_stays_a_lag(world: World, aiohttp_client: Connect) -> None:
    """A log that was rolled back has nothing more to tell, and yet something is missing."""
    edge = await world.add_edge()
    stream = edge.begin()
    stream.add(world.epoch, [a_record(1_000)])
    stream.add(world.epoch, [a_record(2_000)])
    edge.limit = 1
    await world.puller(edge).step()
    stream.batches.pop()
    puller = world.puller(edge)
    client = await connect(world, aiohttp_client, [puller])
    await puller.step()
    world.clock.moment += 60_000

    assert await lags(client) == [60.0]


async def test_silence_is_a_lag(world: World, aiohttp_client: Connect) -> None:
    """What a source has that does not answer is not known: nobody may call that up to date."""
    edge, never = await world.add_edge(), await world.add_edge()
    pullers = [world.puller(edge), world.puller(never)]
    client = await connect(world, aiohttp_client, pullers)
    world.clock.moment += 5_000
    await pullers[0].step()
    edge.fault = {"detail": "no"}
    world.clock.moment += 30_000
    await pullers[0].step()

    assert await lags(client) == [30.0, 35.0]


async def test_not_ready_until_all_have_answered(world: World, aiohttp_client: Connect) -> None:
    """The reasons name the source that has not, and the key server."""
    edge = await world.add_edge()
    world.keyring = world.new_keyring(world.keys.identity)
    client = await connect(world, aiohttp_client)
    response = await client.get("/readyz")

    assert response.status == 503
    assert sorted((await response.json())["reasons"]) == sorted([edge.url, "key_server"])


async def test_texts_of_any_kind_come_back_as_they_were(world: World, client: Client) -> None:
    """Emptiness, controls, quotes and other scripts are not the database's business."""
    odd = ["", "\x00\x01", "'; DROP TABLE hit; --", "\N{SNOWMAN}\u202e", "a" * 2_000]
    numbers = count()
    await pull(
        world,
        [
            a_record(time=Millis(START + next(numbers)), agent=text, visitor=VisitorHash(bytes(16)))
            for text in odd
        ],
    )

    answer = await ask(client, direction="asc")

    assert [hit["agent"] for hit in answer["hits"]] == odd
