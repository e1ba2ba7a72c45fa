"""`milepost hits` and `milepost export`: what is asked, and what is made of the answers."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from aggregator.asking.filters import NAMES
from milepost.cli import hits as command
from milepost.cli.hit_filters import FILTERS, SPAN
from milepost.cli.hits import arrivals
from milepost.client import Client
from milepost.config import Secret
from milepost.errors import UnavailableError
from tests.cli.conftest import HIT, Answers, Run


def test_every_filter_can_be_typed() -> None:
    """What the aggregator takes, and nothing else."""
    assert set(FILTERS) == set(NAMES)


async def test_filters_are_asked_as_they_are_typed(run: Run, answers: Answers) -> None:
    """Several values, exceptions, absence, and characters that a URL has a meaning for."""
    answers.told["GET /v1/hits"] = {"hits": [], "next": None}
    typed = ("--country", "DE", "--country", "!FR", "--link", "", "--start=-24h", "--source-kind=!")
    result = await run("hits", *typed, "--url", "go.example/a b?b=1&c=2*", "--direction", "asc")

    assert result.exit_code == 0, result.output
    asked = parse_qsl(answers.asked[0][1].partition("?")[2], keep_blank_values=True)
    assert asked == [
        *(("limit", "20"), ("direction", "asc"), ("order", "time")),
        *(("country", "DE"), ("country", "!FR"), ("link", ""), ("start", "-24h")),
        *(("source_kind", "!"), ("url", "go.example/a b?b=1&c=2*")),
    ]


async def test_an_export_is_a_file(run: Run, answers: Answers, tmp_path: Path) -> None:
    """With the bytes that came; what is in its place until then stays."""
    answers.told["GET /v1/export"] = {"a": 1}
    out = tmp_path / "hits.csv"
    result = await run("export", "--format", "csv", "--columns", "id", "--out", str(out), "--json")

    assert result.exit_code == 0, result.output
    assert orjson.loads(out.read_bytes()) == {"a": 1}
    assert orjson.loads(result.output) == {
        "file": str(out),
        "format": "csv",
        "bytes": len(out.read_bytes()),
    }
    assert answers.asked[0][1:3] == ("/v1/export?format=csv&columns=id", "read-token")
    assert out.stat().st_mode & 0o077 == 0


async def test_an_export_that_is_refused_leaves_no_file(
    run: Run, answers: Answers, tmp_path: Path
) -> None:
    """Nor does it touch the one that is there."""
    out = tmp_path / "hits.csv"
    out.write_text("old")
    answers.told["GET /v1/export"] = 400
    result = await run("export", "--out", str(out))

    assert (result.exit_code, out.read_text()) == (2, "old")
    assert not out.with_name("hits.csv.part").exists()


async def test_an_export_that_breaks_off_is_an_error(aiohttp_server: AiohttpServer) -> None:
    """A part of a file must not be taken for the whole."""

    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"some")
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_get("/v1/export", broken)
    server = await aiohttp_server(app)
    async with Client.connect(str(server.make_url("")), Secret("t")) as client:
        with pytest.raises(UnavailableError):
            async for _ in client.download("/v1/export", silence_seconds_max=10):
                pass


async def test_following_asks_again_where_it_was(
    url: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page oldest first, and from the cursor that misses nothing."""
    monkeypatch.setattr(command, "FOLLOW_SECONDS", 0.001)
    answers.told["GET /v1/hits"] = [
        {"hits": [{"id": "b"}, {"id": "a"}], "newer": "c1"},
        {"hits": [], "newer": "c2"},
        {"hits": [{"id": "c"}], "newer": "c3"},
    ]
    found: list[Any] = []
    async with asyncio.timeout(30), Client.connect(url, Secret("t")) as client:
        async for rows in arrivals(client, 2, [("link", "x")]):
            found += [row["id"] for row in rows]
            if found[-1] == "c":
                break

    assert found == ["a", "b", "c"]
    first = "/v1/hits?limit=2&direction=desc&order=arrival&link=x"
    assert [asked[1] for asked in answers.asked] == [
        first,
        f"{first}&cursor=c1",
        f"{first}&cursor=c2",
    ]


def test_a_line_shows_no_control_characters() -> None:
    """What a visitor sent must not move anybody's cursor."""
    assert "\x1b" not in command.line({**HIT, "path": "/\x1b[2J"})


def test_times_can_be_typed() -> None:
    """The span is the aggregator's own."""
    assert set(SPAN) == {"start", "end", "tz"}
