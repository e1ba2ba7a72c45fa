"""`GET /api/1/hits` as OP3's callers see it: who may ask, what comes, and in which shape."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
import structlog
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from yarl import URL

from aggregator.asking.asker import Asker
from aggregator.asking.budget import Allowance
from aggregator.op3 import finding
from aggregator.op3.rows import COLUMNS, uuid_of
from milepost.config import Listener
from milepost.errors import UnavailableError
from milepost.service import listen
from tests.aggregator.combined_world import START, World, a_record
from tests.aggregator.test_aggregator_query import Client, Connect, ask, connect, pull

BEARER = {"Authorization": "bEaReR reader"}
TIME = "2025-11-20T12:00:00.001Z"
FULL: dict[str, Any] = {
    "kind": "prefix",
    "link": None,
    "path": "/e/p.example/x.mp3?a=b",
    "agent": "Pod\tcasts/1",
    "referer": "https://r.example/",
    "range": "bytes=0-",
    "session": "S1",
    "ulid": "U1",
    "region": "cdg",
    "country": "FR",
    "subdivision": "IDF",
    "asn": 64_500,
}


@pytest.fixture
async def client(world: World, aiohttp_client: Connect) -> Client:
    """Return a caller of an aggregator that has pulled nothing."""
    return await connect(world, aiohttp_client)


async def rows(client: Client, **params: str) -> list[dict[str, str]]:
    """Return the rows that come as JSON."""
    answer = await client.get("/api/1/hits?format=json", params=params, headers=BEARER)
    assert answer.status == 200, await answer.text()
    found: list[dict[str, str]] = (await answer.json())["rows"]
    return found


@pytest.mark.parametrize(
    ("headers", "query", "status", "error"),
    [
        ({}, "", 401, "unauthorized"),
        ({}, "?token=", 401, "unauthorized"),
        ({"Authorization": "Basic reader"}, "", 401, "unauthorized"),
        ({}, "?token=nobody", 403, "forbidden"),
        ({"Authorization": "Bearer nobody"}, "", 403, "forbidden"),
        ({"Authorization": "Bearer nobody"}, "?token=reader", 403, "forbidden"),
        ({}, "?token=other", 403, "forbidden"),
        ({}, "?token=reader", 200, None),
        ({"Authorization": "Basic x"}, "?token=reader", 200, None),
        ({"Authorization": "BEARER reader"}, "?token=nobody", 200, None),
    ],
)
async def test_who_may_ask(
    client: Client, headers: Mapping[str, str], query: str, status: int, error: str | None
) -> None:
    """The header wins over the address; pages of any origin read the answer."""
    answer = await client.get(f"/api/1/hits{query}", headers=headers)

    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    if error is not None:
        assert await answer.json() == {"error": error}


async def test_what_is_not_there(client: Client) -> None:
    """Errors have OP3's shape, whatever way they are asked for."""
    for path in ("/api/1/nothing", "/api/1/", "/api/1/hits/x"):
        answer = await client.get(path, headers=BEARER)
        assert (answer.status, await answer.json()) == (404, {"error": "not found"})
    answer = await client.post("/api/1/hits", headers=BEARER)
    assert (answer.status, await answer.json()) == (405, {"error": "method not allowed"})
    answer = await client.get("/api/1/hits?limit=1001", headers=BEARER)
    assert answer.status == 400
    assert (await answer.json())["message"].startswith("Bad limit: 1001")


@pytest.mark.parametrize("path", ["hits", "redirect-logs", "nothing"])
async def test_a_preflight_needs_no_token(client: Client, path: str) -> None:
    """A browser sends none with it."""
    asks = {"Origin": "https://page.example", "Access-Control-Request-Method": "GET"}
    answer = await client.options(f"/api/1/{path}", headers=asks)

    assert (answer.status, await answer.read()) == (204, b"")
    for name in ("Origin", "Methods"):
        assert answer.headers[f"Access-Control-Allow-{name}"] == "*"
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


async def test_the_old_path_leads_on(client: Client) -> None:
    """With the parameters as they were written, once it is known who asks."""
    query = "url=https%3A%2F%2Fa%2Fb%2A&limit=5&token=reader"
    there = URL(f"/api/1/redirect-logs?{query}", encoded=True)
    moved = await client.get(there, allow_redirects=False)
    refused = await client.get("/api/1/redirect-logs?limit=5", allow_redirects=False)

    assert (moved.status, moved.headers["Location"]) == (308, f"/api/1/hits?{query}")
    assert refused.status == 401
    assert (await client.get(there)).status == 200


async def test_columns_and_formats(world: World, client: Client) -> None:
    """Seventeen columns in OP3's order; what there is not is empty, left out, or null."""
    await pull(world, [a_record(1, **FULL), a_record(2, kind="orphan", status=404)])
    expected = {
        "time": TIME,
        "uuid": uuid_of(*number_of((await ask(client, kind="prefix"))["hits"][0]["id"])),
        "hashedIpAddress": "01" * 16 + f"{world.epoch.public.number:08x}",
        "method": "GET",
        "url": "https://a.example/e/p.example/x.mp3?a=b",
        "userAgent": "Pod\tcasts/1",
        "referer": "https://r.example/",
        "range": "bytes=0-",
        "xpsId": "S1",
        "ulid": "U1",
        "edgeColo": "CDG",
        "continent": "EU",
        "country": "FR",
        "regionCode": "IDF",
        "asn": "64500",
    }
    told: dict[str, Any] = {}
    for form in ("json", "json-o", "json-a", "tsv"):
        query = f"/api/1/hits?include=asn&format={form}"
        answer = await client.get(query, headers=BEARER)
        assert int(answer.headers["x-query-time"]) >= 0
        told[form] = await (answer.text() if form == "tsv" else answer.json())
    text = await (await client.get("/api/1/hits?format=json", headers=BEARER)).text()

    assert told["json"]["rows"] == [expected]
    assert text.startswith('{\n  "rows": [\n    {\n      "time": "')
    assert {"count": told["json"]["count"], "queryTime": told["json"]["queryTime"]} == {
        "count": 1,
        "queryTime": 0,
    }
    assert told["json-o"] == told["json"]
    assert told["json-a"]["headers"] == [*COLUMNS, "asn"]
    assert told["json-a"]["rows"] == [[expected.get(name) for name in (*COLUMNS, "asn")]]
    cells = [expected.get(name, "").replace("\t", "") for name in (*COLUMNS, "asn")]
    assert told["tsv"] == "\t".join((*COLUMNS, "asn")) + "\n" + "\t".join(cells) + "\n"


def number_of(hit_id: str) -> tuple[str, int]:
    """Return batch and place in the id of a hit."""
    batch, _, idx = hit_id.partition(":")
    return batch, int(idx)


async def test_nothing_found(client: Client) -> None:
    """A header without rows; and no rows are given to who wants none."""
    answer = await client.get("/api/1/hits", headers=BEARER)
    assert answer.headers["Content-Type"].startswith("text/tab-separated-values")
    assert await answer.text() == "\t".join(COLUMNS) + "\n"
    assert await rows(client, limit="0") == []


async def test_every_filter_filters(world: World, client: Client) -> None:
    """Each alone, and together; OP3 ignores some of them."""
    await pull(world, [a_record(1, **FULL), a_record(2, method="HEAD", visitor=None)])
    (full,) = await rows(client, edgeColo="cdg")
    for name in (
        *("url", "userAgent", "referer", "ulid", "xpsId", "method", "edgeColo"),
        "hashedIpAddress",
    ):
        assert await rows(client, **{name: full[name]}) == [full], name
    assert await rows(client, url="https://a.example/e/*") == [full]
    assert await rows(client, url="http://a.example/e/p.example/x.mp3?a=b") == [full]
    assert await rows(client, ulid="U1", method="HEAD") == []
    assert [row["method"] for row in await rows(client, url="https://a.example/*", desc="")] == [
        *("HEAD", "GET")
    ]
    other = full["hashedIpAddress"][:-1] + ("0" if full["hashedIpAddress"][-1] != "0" else "1")
    assert await rows(client, hashedIpAddress=other) == []


async def test_spans_of_time(world: World, client: Client) -> None:
    """`start` belongs, `startAfter` and `end` do not."""
    await pull(world, [a_record(each) for each in range(4)])

    async def times(**params: str) -> list[str]:
        return [row["time"][-3:-1] for row in await rows(client, **params)]

    assert await times(start=TIME) == ["01", "02", "03"]
    assert await times(startAfter=TIME) == ["02", "03"]
    assert await times(end=TIME) == ["00"]
    assert await times(start="-1s", end="1s", desc="1", limit="2") == ["03", "02"]
    assert await times(start=TIME, end=TIME) == []


async def test_a_page_ends_between_milliseconds(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upwards it goes on to the end of one; so far, and no further."""
    monkeypatch.setattr(finding, "ONE_MS_MAX", 4)
    await pull(world, [a_record(each, time=START + each // 5) for each in range(10)])

    first = await rows(client, limit="1")
    second = await rows(client, startAfter=first[-1]["time"], limit="5")
    newest = await rows(client, desc="1", limit="3")

    assert [len(first), len(second), len(newest)] == [5, 5, 3]
    assert len({row["uuid"] for row in first + second}) == 10
    assert newest == second[:1:-1]
    monkeypatch.setattr(finding, "ONE_MS_MAX", 3)
    answer = await client.get("/api/1/hits?limit=1", headers=BEARER)
    assert answer.status == 422
    assert "one millisecond" in (await answer.json())["message"]


async def test_no_page_is_short_for_want_of_time(world: World, aiohttp_client: Connect) -> None:
    """A short page means that there is no more: what costs too much is refused instead."""
    batches = [[a_record(each, region="cdg") for each in range(600)] for _ in range(4)]
    await pull(world, *batches)
    few = Allowance(rows=1_000, seconds=60)
    client = await connect(world, aiohttp_client, asker=Asker(world.queries, few))

    answer = await client.get("/api/1/hits?ulid=x&limit=1000", headers=BEARER)
    assert answer.status == 200  # it has an index of its own
    answer = await client.get("/api/1/hits?referer=https://r/&limit=1000", headers=BEARER)
    assert answer.status == 200  # and a text that is nowhere is in no hit
    answer = await client.get("/api/1/hits?edgeColo=CDG&desc&limit=1000", headers=BEARER)
    assert (answer.status, [*await answer.json()]) == (422, ["message"])


async def test_a_token_in_the_address_is_in_no_line(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when all is well, nor when it is refused, wrong, not there, or when we fail."""
    caplog.set_level(logging.DEBUG)
    async with AsyncExitStack() as stack:
        client = await serve(world, stack)
        with structlog.testing.capture_logs() as ours:
            told = await ask_wrongly(client, monkeypatch)
    lines = f"{ours} {caplog.text}"

    assert "access.refused" in lines
    assert "request.crashed" in lines
    assert "s3cret" not in lines + told


async def serve(world: World, stack: AsyncExitStack) -> Client:
    """Return a caller of the aggregator, which listens as a service does."""
    apps: list[web.Application] = []

    async def keep(app: web.Application) -> Client:
        apps.append(app)
        never_asked = TestClient(TestServer(app))
        stack.push_async_callback(never_asked.close)
        return never_asked

    await connect(world, keep)
    port = unused_port()
    await listen(stack, apps[0], [Listener("127.0.0.1", port)])
    session = await stack.enter_async_context(ClientSession(f"http://127.0.0.1:{port}"))
    return cast(Client, session)  # what is asked of it here is the same


async def ask_wrongly(client: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what is told to whoever asks in every wrong way, and when all is broken."""
    told = ""
    for path in (
        *("hits?token=s3cret", "hits?token=s3cret&token=s3cret", "nothing?token=s3cret"),
        *("redirect-logs?token=s3cret", "hits?token=s3cret%ff", "hits?limit=x&token=s3cret"),
        "hits?token=reader&token=s3cret",
    ):
        answer = await client.get(f"/api/1/{path}", allow_redirects=False)
        told += await answer.text()
    for error in (RuntimeError("broken"), UnavailableError("not now")):

        async def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(Asker, "ask", fail)
        answer = await client.get("/api/1/hits?token=reader&ulid=s3cret")
        told += await answer.text()
        assert answer.status >= 500
    return told
