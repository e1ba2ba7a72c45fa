"""Visits whose link is on disk, over real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession

from milepost.record import Record
from milepost.stream.meter import read_meter
from regional_logger.decide import Rules
from regional_logger.links.local import LocalLinks
from tests.edge.kit import Edge
from tests.edge.links_world import LINKS, a_link, local, locked
from tests.edge.test_door import a_door, serving

MakeEdge = Callable[..., Edge]


@dataclass
class House:
    """A door whose links are all on disk."""

    edge: Edge
    links: LocalLinks
    session: ClientSession

    async def records(self) -> list[Record]:
        """Return what was recorded."""
        return await self.edge.records()

    def counted(self) -> tuple[int, int]:
        """Return how many visits were accepted, and how many excluded."""
        meter = read_meter(self.edge.meter.path).meter
        return sum(row.accepted for row in meter), sum(row.excluded for row in meter)


@pytest.fixture
async def house(make_edge: MakeEdge, lockable: Path) -> AsyncIterator[House]:
    """Serve an edge over a replica that holds LINKS."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    ghost = a_link("g", "/ghost")
    with local(lockable, *LINKS, ghost) as links:
        rules = Rules(find_link=links.table.find)
        door = replace(a_door(edge), rules=rules, read_link=links.find)
        async with serving(door) as url, ClientSession(url) as session:
            yield House(edge, links, session)


async def test_a_cold_link_redirects_and_is_recorded_once(house: House) -> None:
    """The first visit waits for the disk, the next one does not; the connection goes on."""
    for _ in range(2):
        async with house.session.get("/1?x=2", allow_redirects=False) as response:
            assert response.status == 302
            assert response.headers["Location"] == LINKS[1].destination
            assert response.headers["Cache-Control"] == "private, no-cache"

    assert [(each.kind, each.link) for each in await house.records()] == [("link", "1")] * 2
    assert house.counted() == (2, 0)


async def test_a_host_without_links_finds_what_is_for_every_host(house: House) -> None:
    """However it is written."""
    url = house.session._base_url
    assert url is not None
    for host in (b"other.example", b"OTHER.example.:8080", b"192.0.2.1", b"[2001:db8::1]:80"):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /2 HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        house.links.table._near.clear()

        assert b" 302 " in answer.splitlines()[0]


async def test_a_preview_of_a_cold_link_is_excluded(house: House) -> None:
    """One read tells of both paths that it may mean."""
    async with house.session.get("/1+") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'"
        assert LINKS[1].destination in await response.text()

    assert await house.records() == []
    assert house.counted() == (0, 1)


async def test_what_was_let_in_by_mistake_is_an_orphan(house: House) -> None:
    """As if it had not been."""
    async with house.session.get("/ghost") as response:
        assert response.status == 404

    assert [each.kind for each in await house.records()] == ["orphan"]


async def test_a_disk_that_does_not_answer_is_a_404_for_now(house: House, lockable: Path) -> None:
    """Nobody keeps it, it is recorded, and a link in memory is served meanwhile."""
    house.links.table.change((), a_link("new", "/new"))
    with locked(lockable):
        async with house.session.get("/1", allow_redirects=False) as response:
            assert response.status == 404
            assert response.headers["Cache-Control"] == "no-store"
        async with house.session.get("/new", allow_redirects=False) as response:
            assert response.status == 302

    assert [each.kind for each in await house.records()] == ["orphan", "link"]


async def test_a_crowd_at_one_cold_link_is_answered(house: House) -> None:
    """Each once, and each is in the log once."""

    async def visit() -> int:
        async with house.session.get("/1", allow_redirects=False) as response:
            return response.status

    statuses = await asyncio.gather(*(visit() for _ in range(60)))

    assert Counter(statuses) == {302: 60}
    assert len(await house.records()) == 60
