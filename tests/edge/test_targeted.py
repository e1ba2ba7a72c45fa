"""Links with rules at the edge: what a visitor gets is what an explanation says."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from structlog.testing import capture_logs
from yarl import URL

from link_registry.explaining import read_visit
from milepost.links import FeedPlace, Link, link_from
from milepost.targeting.choosing import explain
from milepost.targeting.rules import bytes_of_rules
from milepost.visitor import visitor_hash
from milepost.vocabulary import Millis, Position, Region
from regional_logger.decide import Rules
from regional_logger.door import Door
from regional_logger.links.news import Change
from regional_logger.links.store import ReplicaReader, ReplicaStore
from regional_logger.links.table import LinkTable, bytes_of
from regional_logger.place import Place
from tests.edge.hostile import get
from tests.edge.kit import NOON, Edge
from tests.edge.links_world import HISTORY
from tests.edge.raw import Answer, ask_raw
from tests.edge.test_door import a_door, serving
from tests.targeting.targeting_world import AGENTS, COUNTRIES, HEADERS, REGIONS, links_with_rules

MakeEdge = Callable[..., Edge]
MOMENTS = range(NOON, NOON + 9)
SPLIT = [{"variants": [
    {"name": "a", "weight": 3, "destination": "https://a.example/"},
    {"name": "b", "weight": 1, "destination": "https://b.example/"},
    {"name": "off", "weight": 0, "destination": "https://off.example/"},
]}]  # fmt: skip


@dataclass
class World:
    """What an edge finds at the moment."""

    link: Link
    now: Millis = NOON
    region: str = "dfw"
    country: str | None = None

    def find_link(self, _host: str, path: str) -> Link | None:
        """Find the one link there is."""
        table = LinkTable(b"key")
        table.hold_all([self.link])
        found = table.find("h", path)
        assert found is None or isinstance(found, Link)
        return found

    def find_place(self, _address: str) -> Place:
        """Find the one country there is."""
        return Place(self.country)


class Now:
    """A clock that stands where the world does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> Millis:
        """Return the moment."""
        return self._world.now

    async def sleep(self, seconds: float) -> None:
        """Wait as long as any clock does."""
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


def a_link(rules: list[Any], **fields: Any) -> Link:
    """Return a link with *rules*."""
    body = {"path": "/p", "destination": "https://own.example/", "rules": rules}
    return link_from(body | fields, "l1")


def door_to(edge: Edge, world: World) -> Door:
    """Return a door to *edge* in *world*, whose visitors say their address."""
    return replace(
        a_door(edge),
        rules=Rules(find_link=world.find_link),
        clock=Now(world),
        client_ip="forwarded:1",
        find_place=world.find_place,
    )


@dataclass(frozen=True)
class Served:
    """Edges on a thread, one a region, in one world."""

    ports: dict[str, int]
    world: World
    edge: Edge


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve an edge for all random visits, on the loop that production has."""
    ready, over, told = threading.Event(), threading.Event(), list[Served]()
    folder = tmp_path_factory.mktemp("log")
    thread = threading.Thread(target=uvloop.run, args=(serve(folder, told, ready, over),))
    thread.start()
    try:
        assert ready.wait(10)
        yield told[0]
    finally:
        over.set()
        thread.join(20)


async def serve(
    folder: Path, told: list[Served], ready: threading.Event, over: threading.Event
) -> None:
    """Serve until *over*."""
    world, edge = World(a_link(SPLIT)), Edge(folder)
    edge.learn_keys()
    await edge.journal.start()
    door = door_to(edge, world)
    fra = replace(door, region=Region("fra"))
    async with serving(door) as here, serving(fra) as there:
        told.append(Served({"dfw": here.port or 0, "fra": there.port or 0}, world, edge))
        ready.set()
        await asyncio.to_thread(over.wait)
    await edge.stop()


visits = st.fixed_dictionaries(
    {"region": st.sampled_from(REGIONS), "time": st.sampled_from(MOMENTS).map(str)},
    optional={
        "country": st.sampled_from(COUNTRIES),
        "language": st.sampled_from(HEADERS),
        "user_agent": st.sampled_from(AGENTS),
        "query": st.sampled_from(["a=b", "c?d", "%2F&"]),
    },
)
addresses = st.ip_addresses(v=4).map(str)


@given(links_with_rules(MOMENTS), visits, addresses, st.sampled_from(["", "x/%2f"]))
def test_every_visit_goes_where_an_explanation_says(
    served: Served, link: Link, visit: dict[str, str], address: str, rest: str
) -> None:
    """Both ways through real HTTP, for random rules and random visits."""
    world = served.world
    world.link, world.now = link, Millis(int(visit["time"]))
    world.country = visit.get("country")
    path = link.path[:-1] + rest if link.is_pattern else link.path
    target = path + (f"?{visit['query']}" if "query" in visit else "")
    lines = [f"X-Forwarded-For: {address}", *(
        f"{name}: {visit[field]}"
        for field, name in (("language", "Accept-Language"), ("user_agent", "User-Agent"))
        if field in visit
    )]  # fmt: skip
    data = get(target.encode(), *(line.encode() for line in lines))

    quick = ask(served, visit["region"], data)
    long = ask(served, visit["region"], b"\r\n" + data)  # an empty line is not plain

    visitor = visitor_hash(served.edge.keys.salt, address).hex()
    asked = read_visit(link, visit | {"path": path, "visitor": visitor}, NOON)
    told = explain(link, asked.facts, asked.path, asked.query)
    expected = (told["status"], (told["destination"] or "").encode())
    assert (quick.status, quick.headers.get(b"location", b"")) == expected
    assert (long.status, long.headers.get(b"location", b"")) == expected


def ask(served: Served, region: str, data: bytes) -> Answer:
    """Ask over a connection of its own."""
    return asyncio.run(ask_raw(served.ports[region], data))[0]


@pytest.fixture
def world() -> World:
    """Return a world with one link between two variants."""
    return World(a_link(SPLIT))


@pytest.fixture
async def url(edge: Edge, world: World) -> AsyncIterator[URL]:
    """Serve *edge*."""
    async with serving(door_to(edge, world)) as url:
        yield url


async def visit_from(session: ClientSession, address: str, **headers: str) -> str:
    """Visit the link; return where it led."""
    told = {"X-Forwarded-For": address} | headers
    async with session.get("/p", headers=told, allow_redirects=False) as response:
        assert response.status in {301, 302}
        return response.headers["Location"]


async def test_a_variant_stays_and_is_recorded(edge: Edge, url: URL) -> None:
    """The same for a visitor each time, by weight over all, and by name in the record."""
    async with ClientSession(url) as session:
        first = [await visit_from(session, f"198.51.100.{n}") for n in range(100)]
        again = [await visit_from(session, f"198.51.100.{n}") for n in range(100)]

    assert first == again
    shares = Counter(first)
    assert 55 <= shares["https://a.example/"] <= 92  # 75 expected; 4 deviations
    assert set(shares) == {"https://a.example/", "https://b.example/"}
    records = await edge.records()
    assert [record.target for record in records] == first + again
    assert all(record.target == f"https://{record.variant}.example/" for record in records)


async def test_another_edge_draws_the_same(make_edge: MakeEdge, edge: Edge, world: World) -> None:
    """Of the same salt: there is nothing that they would have to tell each other."""
    other = make_edge()
    other.keys = edge.keys
    other.learn_keys()
    await other.journal.start()
    found = []
    for each, key in ((edge, b"one"), (other, b"another")):
        door = replace(door_to(each, world), draw_key=key)
        async with serving(door) as url, ClientSession(url) as session:
            found.append([await visit_from(session, f"192.0.2.{n}") for n in range(40)])

    assert found[0] == found[1]
    assert len(set(found[0])) == 2


@pytest.mark.parametrize("salted", [True, False])
async def test_without_a_hash_a_variant_stays_as_long_as_the_process(
    make_edge: MakeEdge,
    world: World,
    salted: bool,  # noqa: FBT001
) -> None:
    """Who opts out, and who comes before the salt; nothing but the name is kept of the draw."""
    edge = make_edge()
    if salted:
        edge.learn_keys()
    await edge.journal.start()
    headers = {"Sec-GPC": "1"} if salted else {}
    found = []
    for key in (b"one", b"one", b"another"):
        door = replace(door_to(edge, world), draw_key=key)
        # Without keys no record gets to disk, so nobody waits here for that.
        asked = (door.admit("GET", "/p", "h", told, "") for told in heads(headers))
        found.append([admitted.decision.target for admitted in asked])

    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 2


def heads(more: dict[str, str]) -> Iterator[Any]:
    """Give the headers of forty visitors."""
    for n in range(40):
        yield CIMultiDictProxy(CIMultiDict({"X-Forwarded-For": f"192.0.2.{n}"} | more))


async def test_who_opts_out_has_no_country(edge: Edge, url: URL, world: World) -> None:
    """Not for a rule either: they go where nobody's country is known."""
    world.link = a_link([{"when": {"country": ["FR"]}, "destination": "https://fr.example/"}])
    world.country = "FR"
    async with ClientSession(url) as session:
        found = [await visit_from(session, "192.0.2.1", **told) for told in ({}, {"DNT": "1"})]

    assert found == ["https://fr.example/", "https://own.example/"]
    assert [record.country for record in await edge.records()] == ["FR", None]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirect_by_rules_is_shared(url: URL, world: World, status: int) -> None:
    """A 301 that is another for the next visitor must not be kept for them."""
    world.link = a_link(SPLIT, status=status)
    async with (
        ClientSession(url) as session,
        session.get("/p", allow_redirects=False) as response,
    ):
        assert response.status == status
        assert response.headers["Cache-Control"] == "private, no-cache"


async def test_a_preview_tells_what_is_possible_now(url: URL, world: World) -> None:
    """Every destination but those that nobody gets; what has not begun stays untold."""
    later = {"when": {"start_ms": NOON + 1}, "destination": "https://later.example/"}
    some = {"when": {"country": ["FR"]}, "destination": "https://fr.example/"}
    for rules, shown, hidden in (
        ([later, some], ["fr", "own"], ["later"]),
        ([some, *SPLIT], ["fr", "a", "b"], ["off", "own"]),
    ):
        world.link = a_link(rules)
        async with ClientSession(url) as session, session.get("/p+") as response:
            page = await response.text()
        assert [name for name in [*shown, *hidden] if f"https://{name}.example/" in page] == shown


async def test_a_visitor_is_answered_although_rules_fail(edge: Edge, world: World) -> None:
    """Whatever is wrong where they are looked up: the link's own destination it is."""

    def fail(_address: str) -> Place:
        raise ZeroDivisionError

    door = replace(door_to(edge, world), find_place=fail)
    with capture_logs() as lines:
        async with serving(door) as url, ClientSession(url) as session:
            assert await visit_from(session, "192.0.2.1") == "https://own.example/"

    assert [line["event"] for line in lines] == ["record.failed"]
    assert "192.0.2" not in repr(lines)


async def test_rules_are_in_the_replica(tmp_path: Path) -> None:
    """In a snapshot, in a change, and for who reads one place."""
    first, second = a_link(SPLIT), a_link(SPLIT, path="/d/*")
    store = ReplicaStore.open(tmp_path / "replica.db")
    try:
        await store.arrive([first], first=True)
        await store.take_arrived(FeedPlace(HISTORY, Position(1)))
        assert await store.links() == [first]
        place = FeedPlace(HISTORY, Position(2))
        assert await store.apply(Change(place=place, put=second)) == [(first,)]
        reader = ReplicaReader(tmp_path / "replica.db")
        assert reader.after(("", "")) == [second]
        reader.close()
    finally:
        await store.close()


def test_rules_take_room_in_memory() -> None:
    """As much as they are reckoned with; none take none."""
    link = a_link(SPLIT)

    assert bytes_of(link) - bytes_of(replace(link, rules=())) == bytes_of_rules(link.rules)
