"""An edge's parts, put together by hand on real files."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path

import nacl.bindings as sodium

from milepost.clock import SystemClock
from milepost.config import Secret
from milepost.epochs import EpochList, PublicEpoch
from milepost.record import Record
from milepost.seal import open_body
from milepost.vocabulary import Epoch, Generation, LifeId, Millis, Region, Salt, StreamId
from milepost.wire import LIMIT_BYTES_DEFAULT, Cursor, PullAnswer, PullRequest
from regional_logger.bell import Bell
from regional_logger.handover import Handover, Source
from regional_logger.journal import Journal, Limits
from regional_logger.keyring import HeldSalt, Keyring
from regional_logger.meter import LifeInfo, Meter
from regional_logger.readers import ReaderBook
from regional_logger.remember import Memory
from regional_logger.replication import StreamKeeper
from regional_logger.shelf import Shelf
from regional_logger.stream import Origin

NOON = Millis(1_763_640_000_000)
FAR = Millis(NOON * 2)
NOTHING: Mapping[StreamId, Cursor] = {}
EDGE_TOKEN = "milepost_" + "ab" * 32


class Keys:
    """An epoch's secrets, as the key server would hold them."""

    def __init__(self, number: int, start: Millis, end: Millis) -> None:
        record_public, self.record_secret = sodium.crypto_box_keypair()
        address_public, self.address_secret = sodium.crypto_box_keypair()
        self.salt = Salt(hashlib.sha256(b"salt %d" % number).digest())
        self.public = PublicEpoch(
            number=Epoch(number),
            start_ms=start,
            end_ms=end,
            record_key=record_public,
            address_key=address_public,
        )

    def held(self) -> HeldSalt:
        """Return the salt as a keyring holds it."""
        return HeldSalt(self.public.number, self.public.end_ms, self.salt)


class Edge:
    """One life of one edge, on the folder given."""

    def __init__(self, folder: Path, *, budget_seconds: float = 30.0, **limits: int) -> None:
        self.keys = Keys(1, Millis(0), FAR)
        self.keyring, self.bell = Keyring(), Bell()
        self.counter = 0
        self.ended = False
        self.life = LifeInfo(LifeId(self.entropy(16)), 0, NOON)
        self.folder = folder
        self.meter = Meter(folder, self.life)
        self.origin = Origin(
            folder=folder,
            life=self.life,
            region=Region("dfw"),
            machine="m1",
            token=Secret(EDGE_TOKEN),
        )
        bounds = {
            "queue_records_max": 1_000,
            "queue_bytes_max": 10**9,
            "batch_records_max": 100,
            "stream_bytes_max": 10**9,
            "stream_age_ms_max": 10**12,
        }
        self.journal = Journal(
            self.origin,
            meter=self.meter,
            keyring=self.keyring,
            limits=Limits(budget_seconds=budget_seconds, **{**bounds, **limits}),
            bell=self.bell,
            clock=SystemClock(),
            entropy=self.entropy,
            keeper=StreamKeeper(None, "dfw", "m1"),
        )
        self.shelf = Shelf(folder)
        self.handover = Handover(
            Source(Region("dfw"), "m1"),
            shelf=self.shelf,
            readers=ReaderBook(folder),
            bell=self.bell,
            clock=SystemClock(),
        )

    def entropy(self, size: int) -> bytes:
        """Return bytes that differ from call to call and from edge to edge."""
        self.counter += 1
        seed = f"{id(self)} {self.counter}".encode()
        return hashlib.shake_256(seed).digest(size)

    def learn_keys(self) -> None:
        """Give the edge its list and its salt."""
        self.keyring.take_list(EpochList(NOON, (self.keys.public,)))
        self.keyring.take_salts([self.keys.held()], NOON)

    def offer(self, path: str = "/x", address: str | None = None) -> asyncio.Future[bool] | None:
        """Offer one record."""
        return self.offer_memory(Memory(a_record(path), address))

    def offer_memory(self, memory: Memory) -> asyncio.Future[bool] | None:
        """Offer what was made elsewhere; return what tells whether it became durable in time."""
        pending = self.journal.offer(memory, self.keyring.epoch_at(NOON))
        return None if pending is None else asyncio.ensure_future(pending.over())

    async def pull(
        self,
        *,
        generation: int = 1,
        cursors: Mapping[StreamId, Cursor] = NOTHING,
        acknowledged: Mapping[StreamId, Cursor] = NOTHING,
        ended: frozenset[LifeId] = frozenset(),
        limit_bytes: int = LIMIT_BYTES_DEFAULT,
        wait_ms: int = 0,
        may_acknowledge: bool = True,
    ) -> PullAnswer:
        """Pull as a new aggregator would, but for what is given."""
        request = PullRequest(
            reader="agg",
            generation=Generation(generation),
            cursors=cursors,
            acknowledged=acknowledged,
            ended=ended,
            limit_bytes=limit_bytes,
            wait_ms=wait_ms,
        )
        return await self.handover.pull(request, may_acknowledge=may_acknowledge)

    async def records(self) -> list[Record]:
        """Return what was recorded."""
        return [
            record
            for batch in (await self.pull()).batches
            for record in open_body(batch.header, batch.records, self.keys.record_secret).records
        ]

    def end_life(self) -> None:
        """Let go of the meter, as the end of the process does."""
        self.ended = True
        self.meter.close()

    async def stop(self) -> None:
        """End the life in order, unless a test did."""
        await self.journal.close()
        if not self.ended:
            self.end_life()
        await self.shelf.close()


def a_record(path: str = "/x", time: Millis = NOON) -> Record:
    """Return some record."""
    return Record(
        kind="prefix",
        time=time,
        method="GET",
        host="click.example",
        path=path,
        target="https://example.com/a",
        status=302,
        region="dfw",
    )
