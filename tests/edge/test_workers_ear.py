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
from milepost.links import Link
from milepost.vocabulary import LinkId, StreamId
from regional_logger.keyring import Keyring
from regional_logger.links.table import LinkTable
from regional_logger.replication import StreamFile
from regional_logger.workers.messages import (
    Begin,
    Closing,
    Committed,
    End,
    KeyList,
    Message,
    Opened,
    PutLink,
    Released,
    RemoveLink,
    Salts,
    SomeLinks,
    TurnOver,
)
from regional_logger.workers.pipe import Pipe
from regional_logger.workers.share import SharedTable
from regional_logger.workers.worker import Ear, FarBell, FarKeeper
from tests.edge.kit import FAR, NOON, Keys

STREAM = StreamFile(StreamId(bytes(range(16))), Path("/log/x.db"))
IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(b"\x07" * 32)
KEYS = Keys(1, NOON, FAR)


def a_link(name: str, target: str = "https://target.example/") -> Link:
    """Return a link at /NAME."""
    return Link(id=LinkId(name), host="*", path=f"/{name}", destination=target)


@dataclass
class Far:
    """A worker's ear, and the parent's end of its pipe."""

    parent: Pipe
    pipe: Pipe
    keyring: Keyring = field(default_factory=Keyring)
    table: LinkTable = field(default_factory=LinkTable)
    turned: int = 0

    def __post_init__(self) -> None:
        self.keeper = FarKeeper(self.pipe, replicates=True)
        self.told = self.parent.messages()
        self.ear = Ear(
            self.pipe,
            keyring=self.keyring,
            table=self.table,
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
async def far() -> AsyncIterator[Far]:
    """A worker that listens."""
    left, right = socket.socketpair()
    far = Far(await Pipe.over(left), await Pipe.over(right))
    yield far
    await far.ear.close()
    await far.pipe.close()
    await far.parent.close()


async def test_a_worker_knows_what_the_parent_knew(far: Far) -> None:
    """Keys, salts and links are there before the first visitor."""
    document = orjson.loads(sign_list(NOON, [KEYS.public], SIGNING_KEY))
    await far.hear(
        KeyList(document),
        Salts((KEYS.held(),)),
        SomeLinks((a_link("a"),), last=False),
        SomeLinks((a_link("b"),), last=True),
        PutLink(a_link("c")),
        RemoveLink(LinkId("a")),
        TurnOver(),
    )

    assert far.keyring.salt_of(far.keyring.epoch_at(NOON)) == KEYS.salt
    assert [bool(far.table.find("h", f"/{name}")) for name in "abc"] == [False, True, True]
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

    assert far.table.find("h", "/a")
    assert not far.table.find("h", "/b")


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


def test_a_shared_table_tells_each_change_once() -> None:
    """A link that changes is never gone for a moment."""
    told: list[Message] = []
    table = SharedTable(told.extend)
    table.replace_all([a_link("a")])
    table.put(a_link("a", "https://other.example/"))
    table.remove(LinkId("a"))

    assert told == [
        SomeLinks((a_link("a"),), last=True),
        PutLink(a_link("a", "https://other.example/")),
        RemoveLink(LinkId("a")),
    ]
    assert table.links() == ()
