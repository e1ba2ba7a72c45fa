"""What a token that is restricted to hosts or tags sees of the hits."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from aggregator.access import tagged as tagging
from aggregator.access.narrowing import EVERYTHING, Narrowing, narrowing_of
from aggregator.access.tagged import TaggedLinks
from milepost.client import Client, new_session
from milepost.config import Secret
from milepost.errors import NarrowedError
from milepost.http import json_response
from milepost.tokens import Principal
from milepost.vocabulary import LinkId
from tests.aggregator.access_world import Aggregator, Connect, pull
from tests.aggregator.combined_world import World, a_record

READ = {"scopes": ["hits:read"]}
HOSTS, LINKS = ("a.example", "b.example", "c.example"), ("one", "two", None)
NAMES = st.frozensets(st.sampled_from([*HOSTS, "d.example"]))
IDS = st.frozensets(st.sampled_from(["one", "two", "three"]))


class TagsOfLinks:
    """A registry's listener: it knows which links have a tag."""

    def __init__(self) -> None:
        self.links: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.down = False
        self.page = 2

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/links`."""
        assert request.headers["Authorization"] == "Bearer aggregator"
        tag = request.query["tag"]
        self.asked.append(tag)
        if self.down:
            return json_response({"detail": "down"}, status=503)
        begin = int(request.query.get("cursor", "0"))
        found = self.links.get(tag, [])[begin:]
        following = str(begin + self.page) if len(found) > self.page else None
        links = [{"id": each} for each in found[: self.page]]
        return json_response({"links": links, "next": following})


@pytest.fixture
async def registry(world: World) -> Any:
    """Return a registry, and what asks it."""
    tags = TagsOfLinks()
    app = web.Application()
    app.router.add_get("/v1/links", tags.handle)
    async with TestServer(app) as server, new_session() as session:
        client = Client(session, str(server.make_url("")), Secret("aggregator"))
        yield tags, TaggedLinks(client, world.clock)


async def fill(world: World) -> None:
    """Have hits pulled: each host with each link, and with none."""
    every = [(host, link) for host in HOSTS for link in LINKS]
    records = [
        a_record(number, host=host, link=None if link is None else LinkId(link))
        for number, (host, link) in enumerate(every)
    ]
    await pull(world, records)


async def seen(served: Aggregator, token: str, query: str = "") -> list[tuple[str, str | None]]:
    """Return host and link of every hit that *token* sees, page by page."""
    found, cursor = [], ""
    while True:
        path = f"/v1/hits?limit=2{query}{cursor}"
        status, told, _ = await served.call("GET", path, token)
        assert status == 200, told
        found += [(each["host"], each.get("link")) for each in told["hits"]]
        if told["next"] is None:
            return sorted(found, key=str)
        cursor = f"&cursor={told['next']}"


async def test_a_token_sees_its_hosts(world: World, aiohttp_client: Connect) -> None:
    """Without a filter the answer is narrowed; with one of others it is refused."""
    await fill(world)
    served = await Aggregator.start(world, aiohttp_client)
    token = await served.make(READ | {"name": "narrow", "hosts": ["A.example", "c.example"]})

    wanted = [(host, link) for host in ("a.example", "c.example") for link in LINKS]
    assert await seen(served, token) == sorted(wanted, key=str)
    assert {host for host, _ in await seen(served, token, "&host=c.example")} == {"c.example"}
    status, told, _ = await served.call("GET", "/v1/hits?host=b.example", token)
    assert (status, told["code"]) == (403, "narrowed")
    assert "lacks the host b.example" in told["detail"]


async def test_a_token_sees_the_links_with_its_tags(
    world: World, aiohttp_client: Connect, registry: Any
) -> None:
    """The registry says which; what was of no link is not seen."""
    tags, tagged = registry
    tags.links = {"spring": ["one", "x", "y"], "sale": ["two"]}
    await fill(world)
    served = await Aggregator.start(world, aiohttp_client, tagged=tagged)
    spring = await served.make(READ | {"name": "spring", "tags": ["spring"]})
    both = READ | {"name": "both", "tags": ["spring", "sale"], "hosts": ["a.example"]}
    none = await served.make(READ | {"name": "none", "tags": ["nothing"]})

    assert await seen(served, spring) == [(host, "one") for host in HOSTS]
    assert await seen(served, await served.make(both)) == [
        ("a.example", "one"),
        ("a.example", "two"),
    ]
    assert await seen(served, none) == []
    status, told, _ = await served.call("GET", "/v1/hits?link=two", spring)
    assert (status, told["code"]) == (403, "narrowed")


async def test_the_registry_is_asked_now_and_then(
    world: World, aiohttp_client: Connect, registry: Any
) -> None:
    """What it said holds for seconds, and while it is down; without anything said: 503."""
    tags, tagged = registry
    tags.links = {"spring": ["one"]}
    await fill(world)
    served = await Aggregator.start(world, aiohttp_client, tagged=tagged)
    token = await served.make(READ | {"name": "spring", "tags": ["spring"]})
    other = await served.make(READ | {"name": "other", "tags": ["other"]})
    for _ in range(3):
        await seen(served, token)
    assert tags.asked == ["spring"]

    tags.links, tags.down = {"spring": ["two"]}, True
    world.clock.moment += tagging.FRESH_MS
    assert {link for _, link in await seen(served, token)} == {"one"}
    status, told, _ = await served.call("GET", "/v1/hits", other)
    assert (status, told["code"]) == (503, "unavailable")
    assert len(tags.asked) == 2, "a registry that is down is left alone for a while"

    tags.down = False
    world.clock.moment += tagging.RETRY_MS
    assert {link for _, link in await seen(served, token)} == {"two"}

    tags.down = True
    world.clock.moment += tagging.STALE_MS
    assert (await served.call("GET", "/v1/hits", token))[0] == 503


async def test_without_a_registry_tags_show_nothing(world: World, aiohttp_client: Connect) -> None:
    """Rather than everything."""
    await fill(world)
    served = await Aggregator.start(world, aiohttp_client)
    token = await served.make(READ | {"name": "spring", "tags": ["spring"]})

    assert (await served.call("GET", "/v1/hits", token))[0] == 503


async def test_too_many_links_are_refused(
    world: World, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more of them are asked for than it takes to know."""
    monkeypatch.setattr(tagging, "LINKS_MAX", 3)
    tags, tagged = registry
    tags.links = {"spring": [str(number) for number in range(100)]}

    with pytest.raises(NarrowedError, match="more than 3 links"):
        await tagged.narrowing(Principal("p", frozenset(), tags=frozenset({"spring"})))

    assert len(tags.asked) == 2


@given(NAMES, IDS, st.frozensets(st.sampled_from(["t", "u"])))
def test_a_narrowing_is_never_more_than_the_token(
    hosts: frozenset[str], links: frozenset[str], tags: frozenset[str]
) -> None:
    """No hosts and no tags are everything; no link that has a tag is nothing."""
    who = Principal("p", frozenset(), hosts=hosts, tags=tags)
    narrowing = narrowing_of(who, links)

    assert narrowing.whole is not who.narrowed
    for host in HOSTS:
        for link in LINKS:
            allowed = (not hosts or host in hosts) and (not tags or link in links)
            assert narrowing.sees(host, link) is allowed


@given(NAMES, IDS)
def test_what_is_asked_for_by_name_is_seen_or_refused(
    hosts: frozenset[str], links: frozenset[str]
) -> None:
    """One that is not seen is enough."""
    who = Principal("p", frozenset(), hosts=frozenset({"a.example"}))
    narrowing = Narrowing(hosts=frozenset({"a.example"}), links=frozenset({"one"}))
    EVERYTHING.refuse_others(who, hosts=hosts, links=links)
    if hosts <= {"a.example"} and links <= {"one"}:
        narrowing.refuse_others(who, hosts=hosts, links=links)
    else:
        with pytest.raises(NarrowedError, match=r"it lacks the (host|link)"):
            narrowing.refuse_others(who, hosts=hosts, links=links)
