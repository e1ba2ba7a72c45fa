"""Gatekeeper, memory, patterns and replica: one answer, after any history."""

import random
from collections import Counter
from pathlib import Path

import pytest

from milepost.finding.places import names_of
from milepost.links import FeedPlace, Link
from milepost.vocabulary import LinkId, Position
from regional_logger.links.local import LocalLinks, OwnLinks
from regional_logger.links.news import Applied, Change
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import COLD, LINK_BYTES, LinkTable
from tests.edge.links_world import HISTORY, a_link

RULES = [{"when": {"country": ["DE"]}, "destination": "https://de.example/"}]
STEPS, IDS, NEAR = 100_000, 2_000, 200
HOSTS = ("*", "a.example", "a.example:81")
VISITED = ("", "a.example", "A.example:81", "b.example")


class Model:
    """What the registry would say: links by id, and no two at one place."""

    def __init__(self) -> None:
        self.by_id: dict[str, Link] = {}
        self.by_place: dict[tuple[str, str], Link] = {}

    def take(self, change: Change) -> None:
        """Do what *change* says."""
        if change.remove is not None:
            self._drop(self.by_id.get(change.remove))
        if change.put is not None:
            self._drop(self.by_id.get(change.put.id))
            self._drop(self.by_place.get((change.put.host, change.put.path)))
            self.by_id[change.put.id] = change.put
            self.by_place[change.put.host, change.put.path] = change.put

    def _drop(self, link: Link | None) -> None:
        if link is not None:
            del self.by_id[link.id], self.by_place[link.host, link.path]

    def find(self, host: str, path: str) -> Link | None:
        """Look at every beginning of *path*, the longest first, after the whole of it."""
        cuts = [at + 1 for at, char in enumerate(path) if char == "/"]
        for name in names_of(host):
            for place in (path, *(f"{path[:cut]}*" for cut in reversed(cuts))):
                link = self.by_place.get((name, place))
                if link is not None and link.enabled:
                    return link
        return None


def a_change(chance: random.Random, position: int) -> Change:
    """Return some change."""
    place = FeedPlace(HISTORY, Position(position))
    number = chance.randrange(IDS)
    if chance.random() < 0.3:
        return Change(place=place, remove=LinkId(str(number)))
    put = a_link(
        str(number),
        a_path(chance) + chance.choice(("", "", "", "/*")),
        host=chance.choice(HOSTS),
        enabled=chance.random() < 0.9,
        status=chance.choice((301, 302)),
        rules=chance.choice(([], [], RULES)),
    )
    return Change(place=place, put=put)


def a_path(chance: random.Random) -> str:
    """Return a path where there may be something."""
    return f"/{chance.randrange(IDS // 2)}" + chance.choice(("", "", "/x", "/x/y"))


async def found(links: LocalLinks, host: str, path: str) -> Link | None:
    """Return what a visitor finds, from memory or from disk."""
    link = links.table.find(host, path)
    if link is COLD:
        link = (await links.find(host, path))(host, path)
        assert link is not COLD
    return link


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_all_four_agree_after_a_hundred_thousand_changes(tmp_path: Path) -> None:
    """Inserts, updates and deletes at random, visits and new readings of the disk between them."""
    chance, model = random.Random(11), Model()
    store = ReplicaStore.open(tmp_path / "links.db")
    store._writer._connection.execute("PRAGMA synchronous=OFF")  # this is not about power cuts
    table = LinkTable(b"key", NEAR * (LINK_BYTES + 30))
    links = LocalLinks(table, tmp_path / "links.db", seconds_max=10.0)
    holder = OwnLinks(store, links)
    for position in range(1, STEPS + 1):
        change = a_change(chance, position)
        [gone] = await store.apply(change)
        holder.change(Applied(place=change.place, gone=gone, put=change.put))
        model.take(change)
        host, path = chance.choice(VISITED), a_path(chance)
        assert await found(links, host, path) == model.find(host, path)
        if position % 20_000 == 10_000:
            await holder.renew(None)
            await links.warm()
    for host in VISITED:
        for number in range(IDS // 2):
            for path in (f"/{number}", f"/{number}/", f"/{number}/x", f"/{number}/x/y"):
                assert await found(links, host, path) == model.find(host, path)
    enabled = [link for link in model.by_id.values() if link.enabled]
    assert {link.id: link for link in await store.links()} == model.by_id
    assert len(table) == len(enabled)
    assert len(table._outline.patterns) == sum(link.is_pattern for link in enabled)
    assert table._outline.hosts == Counter(link.host for link in model.by_id.values())
    assert table.near_bytes <= NEAR * (LINK_BYTES + 30)
    links.close()
    await store.close()
