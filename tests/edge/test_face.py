"""What visitors reach beside links: prefixes, an edge's own pages, and nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from milepost.links import RESERVED_PATHS
from milepost.stream.meter import read_meter
from regional_logger.bans import BanFile
from regional_logger.metrics import ODD, REFUSED_FOR
from regional_logger.targets import HostList
from tests.edge.kit import Edge
from tests.edge.test_door import a_door, serving

MakeEdge = Callable[..., Edge]


@pytest.fixture
async def url(edge: Edge) -> AsyncIterator[URL]:
    """Serve *edge* with nothing configured."""
    async with serving(a_door(edge)) as url:
        yield url


async def ask(url: URL, raw: str, method: str = "GET") -> tuple[int, str | None, str]:
    """Visit *raw*; return status, where it leads, and what it says."""
    target = URL(raw, encoded=True)
    async with (
        ClientSession(url) as session,
        session.request(method, target, allow_redirects=False) as response,
    ):
        return response.status, response.headers.get("Location"), await response.text()


async def say(url: URL, request: bytes) -> bytes:
    """Send *request* as it is; return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", url.port)
    writer.write(request)
    answer = await reader.read(10_000)
    writer.close()
    return answer


def excluded(edge: Edge) -> int:
    """Return how many visits the meter holds as excluded."""
    return sum(row.excluded for row in read_meter(edge.meter.path).meter)


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_any_method_is_redirected_and_recorded_as_what_it_is(
    edge: Edge, url: URL, method: str
) -> None:
    """Those who watch whether an address works ask with HEAD."""
    assert await ask(url, "/e/example.com/a.mp3", method) == (302, "https://example.com/a.mp3", "")

    assert [(each.method, each.kind) for each in await edge.records()] == [(method, "prefix")]


async def test_a_prefix_of_this_very_address_is_unwrapped(edge: Edge, url: URL) -> None:
    """One hop and one record, with the address as it came."""
    raw = f"/e/http://{url.authority}/e,pg=1/http://example.com/a?b=%2f"

    status, location, _ = await ask(url, raw)

    (record,) = await edge.records()
    assert (status, location) == (302, "http://example.com/a?b=%2f")
    assert (record.path, record.target, record.arguments) == (raw, location, "pg=1")


async def test_a_target_that_leads_back_here_is_refused(edge: Edge, url: URL) -> None:
    """It says why, is counted, and is not recorded."""
    before = REFUSED_FOR["own"]._value.get()

    status, location, text = await ask(url, f"/e/{url.authority}/promo")

    assert (status, location) == (400, None)
    assert "on this service itself" in text
    assert excluded(edge) == 1
    assert REFUSED_FOR["own"]._value.get() == before + 1


async def test_a_trailing_space_goes_along_and_is_told(edge: Edge, url: URL) -> None:
    """Kept byte for byte, flagged in the record, counted."""
    before = ODD["trailing_space"]._value.get()

    _, location, _ = await ask(url, "/e/example.com/a.mp3%20%20")
    await ask(url, "/e/example.com/a.mp3")

    assert location == "https://example.com/a.mp3%20%20"
    assert [each.oddity for each in await edge.records()] == ["trailing_space", None]
    assert ODD["trailing_space"]._value.get() == before + 1


async def test_control_bytes_stay_as_they_were_encoded(url: URL) -> None:
    """A header never holds what a percent sign stands for."""
    request = b"GET /e/example.com/a%0d%0aSet-Cookie:%20x%00 HTTP/1.1\r\nHost: x\r\n\r\n"

    head = await say(url, request)

    assert b"\r\nLocation: https://example.com/a%0d%0aSet-Cookie:%20x%00\r\n" in head
    assert b"\nSet-Cookie" not in head


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://click.example/e/example.com/a HTTP/1.1",
        b"GET /e/example.com/a\x00b HTTP/1.1",
        b"GET /e/example.com/a\x0bb HTTP/1.1",
        b"GET /e/example.com/caf\xc3\xa9 HTTP/1.1",
        b"GET /e/example.com/a b HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
    ],
)
async def test_raw_bytes_and_whole_addresses_are_refused(url: URL, line: bytes) -> None:
    """Whether the parser does it or the decision."""
    answer = await say(url, line + b"\r\nHost: click.example\r\n\r\n")

    assert b" 400 " in answer.splitlines()[0]
    assert b"Location" not in answer


async def test_a_visit_without_a_host_asks_nobody_for_one(
    edge: Edge, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name service of a machine may take its time, and everybody would wait."""

    def fail(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(socket, "getfqdn", fail)

    answer = await say(url, b"GET /e/example.com/a HTTP/1.0\r\n\r\n")

    assert b" 302 " in answer.splitlines()[0]
    assert [each.host for each in await edge.records()] == [""]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/metrics", "/v1/pull"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_private_is_no_page_of_the_public_listener(
    edge: Edge, url: URL, path: str, method: str
) -> None:
    """It is an orphan like any other, and is recorded as one."""
    status, location, _ = await ask(url, path, method)

    assert (status, location) == (404, None)
    assert [each.kind for each in await edge.records()] == ["orphan"]


async def test_an_edge_has_few_pages_and_none_is_recorded(edge: Edge, url: URL) -> None:
    """Root says what this is, robots are told to go, and there is no icon."""
    assert (await ask(url, "/"))[0] == 200
    assert await ask(url, "/robots.txt") == (200, None, "User-agent: *\nDisallow: /\n")
    assert await ask(url, "/favicon.ico?x") == (204, None, "")
    assert await ask(url, "/favicon.ico", "HEAD") == (204, None, "")

    assert excluded(edge) == 4
    assert await edge.records() == []
    assert {"/robots.txt", "/favicon.ico"} < set(RESERVED_PATHS)


async def test_root_leads_where_the_setting_says(edge: Edge) -> None:
    """And is excluded as it would be without."""
    door = a_door(edge)
    there = replace(door, rules=replace(door.rules, root_url="https://example.com/about"))
    async with serving(there) as url:
        assert await ask(url, "/") == (302, "https://example.com/about", "")
        assert await ask(url, "/", "HEAD") == (302, "https://example.com/about", "")

    assert excluded(edge) == 2


async def test_who_may_be_redirected_to_is_asked_of_prefixes_alone(
    edge: Edge, tmp_path: Path
) -> None:
    """Refused in one line each, excluded; a link of ours leads where it leads."""
    bans = BanFile(tmp_path / "bans.txt")
    allowed = HostList(frozenset({"a.example", "b.example"}))
    door = a_door(edge)
    rules = replace(door.rules, is_allowed=allowed.holds, is_banned=bans.holds)
    async with serving(replace(door, rules=rules)) as url:
        before = await ask(url, "/e/b.example/x")
        _ban(tmp_path, "b.example\n")
        bans.look()
        answers = [await ask(url, f"/e/{host}.example/x") for host in "abc"]
        link = await ask(url, "/promo")

    assert before[0] == 302
    assert [status for status, _, _ in answers] == [302, 400, 400]
    assert [text.count("\n") for _, _, text in answers] == [0, 1, 1]
    assert link[:2] == (302, "https://example.com/p")
    assert excluded(edge) == 2
    assert [each.kind for each in await edge.records()] == ["prefix", "prefix", "link"]


def _ban(folder: Path, text: str) -> None:
    (folder / "bans.txt").write_text(text)
