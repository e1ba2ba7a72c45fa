"""What a worker does with what it hears, and what it tells of its streams."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import nacl.bindings as sodium
import orjson
import pytest

from milepost.clock import SystemClock
from milepost.epochs import sign_list
from milepost.links import FeedPlace, Link
from milepost.vocabulary import LinkId, Position, StreamId
from regional_logger.keyring import Keyring
from regional_logger.links.local import LocalLinks
from regional_logger.links.news import Applied, Change
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import COLD, LinkTable
from regional_logger.replication import StreamFile
from regional_logger.workers.links import FarLinks
from regional_logger.workers.messages import (
    Begin,
    ChangedLink,
    Closing,
    Committed,
    End,
    KeyList,
    Message,
    Opened,
    Released,
    Reload,
    Salts,
    SomeLinks,
    TurnOver,
)
from regional_logger.workers.pipe import Pipe
from regional_logger.workers.share import SharedLinks
from regional_logger.workers.worker import Ear, FarBell, FarKeeper
from tests.edge.kit import FAR, NOON, Keys
from tests.link_registry.registry_world import until

STREAM = StreamFile(StreamId(bytes(range(16))), Path("/log/x.db"))
IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(b"\x07" * 32)
KEYS = Keys(1, NOON, FAR)


def a_link(name: str, target: str = "https://target.example/") -> Link:
    """Return a link at /NAME."""
    return Link(id=LinkId(name), host="*", path=f"/{name}", destination=target)


def a_change(position: int, put: Link | None, *gone: Link) -> ChangedLink:
    """Return the news of a change."""
    return ChangedLink(Applied(place=at(position), gone=gone, put=put))


def at(position: int) -> FeedPlace:
    """Return a place in the feed."""
    return FeedPlace("a" * 32, Position(position))


@dataclass
class Far:
    """A worker's ear, and the parent's end of its pipe."""

    parent: Pipe
    pipe: Pipe
    replica: Path
    keyring: Keyring = field(default_factory=Keyring)
    turned: int = 0

    def __post_init__(self) -> None:
        self.keeper = FarKeeper(self.pipe, replicates=True)
        self.links = LocalLinks(LinkTable(b"key", 1_000_000), self.replica, seconds_max=5.0)
        self.far_links = FarLinks(self.links, SystemClock())
        self.told = self.parent.messages()
        self.ear = Ear(
            self.pipe,
            keyring=self.keyring,
            links=self.far_links,
            keeper=self.keeper,
            identity=IDENTITY,
            clock=SystemClock(),
        )
        self.ear.start(self.turn_over)

    def turn_over(self) -> None:
        """Count how often a new stream was asked for."""
        self.turned += 1

    async def hear(self, *messages: Message) -> None:
        """Return when *messages* have been heard."""
        self.parent.tell(*messages, Begin())
        assert await self.ear.begun()


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    """A worker that listens."""
    left, right = socket.socketpair()
    far = Far(await Pipe.over(left), await Pipe.over(right), tmp_path / "links.db")
    yield far
    await far.ear.close()
    await far.far_links.close()
    far.links.close()
    await far.pipe.close()
    await far.parent.close()


@pytest.fixture
async def replica(far: Far) -> AsyncIterator[ReplicaStore]:
    """Open the replica that the parent writes."""
    store = ReplicaStore.open(far.replica)
    yield store
    await store.close()


async def test_a_worker_knows_what_the_parent_knew(far: Far) -> None:
    """Keys, salts and links are there before the first visitor."""
    document = orjson.loads(sign_list(NOON, [KEYS.public], SIGNING_KEY))
    await far.hear(
        KeyList(document),
        Salts((KEYS.held(),)),
        SomeLinks((a_link("a"),), last=False),
        SomeLinks((a_link("b"),), last=True),
        a_change(1, a_link("c")),
        a_change(2, None, a_link("a")),
        TurnOver(),
    )

    assert far.keyring.salt_of(far.keyring.epoch_at(NOON)) == KEYS.salt
    assert [bool(far.links.table.find("h", f"/{name}")) for name in "abc"] == [False, True, True]
    assert far.turned == 1


async def test_a_salt_that_is_told_no_more_is_forgotten(far: Far) -> None:
    """The parent's set is the worker's set."""
    await far.hear(Salts((KEYS.held(),)), Salts(()))

    assert far.keyring.salts == ()


async def test_a_list_that_nobody_signed_is_refused(far: Far) -> None:
    """A worker trusts the configured identity, and nothing on the way."""
    document = orjson.loads(sign_list(NOON, [KEYS.public], SIGNING_KEY))
    await far.hear(KeyList({**document, "signature": "00" * 64}), KeyList(None))

    assert far.keyring.listed is None


async def test_a_part_of_the_links_changes_nothing_yet(far: Far) -> None:
    """Visitors find some moment of the registry, whole."""
    await far.hear(SomeLinks((a_link("a"),), last=True), SomeLinks((a_link("b"),), last=False))

    assert far.links.table.find("h", "/a")
    assert not far.links.table.find("h", "/b")


async def test_the_end_comes_with_a_word_or_without(far: Far) -> None:
    """A parent that dies says nothing, and its workers end all the same."""
    await far.parent.close()
    await far.ear.until_end()

    assert not await far.ear.begun()


async def test_who_is_told_to_end_before_it_began_does_not_begin(far: Far) -> None:
    """No visitor is let in only to be turned away."""
    far.parent.tell(End())

    assert not await far.ear.begun()


async def test_a_stream_is_closed_after_the_parent_s_word(far: Far) -> None:
    """First litestream lets go, and only the parent talks to it."""
    far.keeper.opened(STREAM)
    closing = asyncio.create_task(far.keeper.closing(STREAM))

    assert [await anext(far.told), await anext(far.told)] == [Opened(STREAM.id), Closing(STREAM.id)]
    assert not closing.done()
    far.parent.tell(Released(STREAM.id))
    await closing


async def test_nobody_waits_for_a_parent_that_has_gone(far: Far) -> None:
    """Neither who waited already nor who asks later."""
    closing = asyncio.create_task(far.keeper.closing(STREAM))
    await anext(far.told)
    await far.parent.close()

    await closing
    await far.keeper.closing(STREAM)


async def test_a_commit_rings_in_the_parent(far: Far) -> None:
    """Aggregators wait there."""
    FarBell(far.pipe).ring()

    assert await anext(far.told) == Committed()


async def test_a_worker_reads_the_replica_and_hears_what_changes(
    far: Far, replica: ReplicaStore
) -> None:
    """Whatever it has read already it passes over, and what is cold it reads."""
    await replica.arrive([a_link("a"), a_link("b")], first=True)
    await replica.take_arrived(at(5))
    [old] = await replica.apply(Change(place=at(6), remove=LinkId("a")))
    await far.hear(
        Reload(),
        a_change(6, None, *old),
        a_change(7, a_link("c")),
        a_change(7, a_link("never", "https://told.twice.example/")),
    )

    table = far.links.table
    assert len(table) == 2
    assert [table.find("h", f"/{name}") for name in ("a", "never")] == [None, None]
    assert table.find("h", "/c") == a_link("c")
    assert table.find("h", "/b") is COLD
    assert (await far.links.find("h", "/b"))("h", "/b") == a_link("b")
    assert table.find("h", "/b") == a_link("b")


async def test_a_worker_that_missed_a_change_reads_again(far: Far, replica: ReplicaStore) -> None:
    """The disk has them all."""
    await replica.take_arrived(at(5))
    await far.hear(Reload())
    await replica.apply(Change(place=at(6), put=a_link("a")))
    await replica.apply(Change(place=at(7), put=a_link("b")))
    await far.hear(a_change(7, a_link("b")))
    await until(lambda: len(far.links.table) == 2)
    await far.hear(a_change(8, a_link("c")))
    await until(lambda: len(far.links.table) == 3)


async def test_a_worker_goes_on_with_a_history_that_does(far: Far, replica: ReplicaStore) -> None:
    """A registry that starts again makes no link cold: nothing is read anew."""
    await replica.arrive([a_link("a")], first=True)
    await replica.take_arrived(at(5))
    await far.hear(Reload())
    await until(lambda: len(far.links.table) == 1)
    version = far.links.table.version
    place, following = (FeedPlace("b" * 32, Position(n)) for n in (5, 6))
    await far.hear(
        ChangedLink(Applied(place=place, gone=(), put=None, after=at(5))),
        ChangedLink(Applied(place=following, gone=(), put=a_link("b"))),
    )

    await until(lambda: len(far.links.table) == 2)
    assert far.links.table.version == version + 2


async def test_a_worker_without_a_replica_serves(far: Far) -> None:
    """Prefixes need no links, and it goes on trying."""
    await far.hear(Reload(), a_change(1, a_link("a")))
    assert far.links.table.find("h", "/a") is None
    store = ReplicaStore.open(far.replica)
    await store.apply(Change(place=at(1), put=a_link("a")))
    await until(lambda: len(far.links.table) == 1)
    await store.close()


async def test_a_parent_tells_of_its_replica_once(replica: ReplicaStore) -> None:
    """The workers read the disk; each change is told once."""
    told: list[Message] = []
    shared = SharedLinks(replica, told.extend)
    applied = Applied(place=at(1), gone=(), put=a_link("a"))
    await shared.renew(None)
    shared.change(applied)

    assert told == [Reload(), ChangedLink(applied)]
    assert list(shared.everything()) == [Reload()]


async def test_a_parent_without_a_disk_tells_every_link(tmp_path: Path) -> None:
    """Its workers hold them all."""
    (tmp_path / "file").touch()
    store = ReplicaStore.open(tmp_path / "file" / "links.db")
    told: list[Message] = []
    shared = SharedLinks(store, told.extend)
    await store.apply(Change(place=at(1), put=a_link("a")))
    await shared.renew(at(1))
    [gone] = await store.apply(Change(place=at(2), put=a_link("a", "https://other.example/")))
    shared.change(Applied(place=at(2), gone=gone, put=a_link("a", "https://other.example/")))

    assert told[0] == SomeLinks((a_link("a"),), last=True)
    assert list(shared.everything()) == [
        SomeLinks((a_link("a", "https://other.example/"),), last=True)
    ]
    await store.close()
