"""Following the registry's feed.

Disk first, then memory: what a visit finds was on disk before, so a restart
never goes back behind it.  Whatever is doubtful ends the connection; the next
one resumes from the place on disk, or asks for a snapshot when that place no
longer means anything.  After a write that failed, and has happened all the same,
memory begins anew with what is on disk; otherwise it stays as it is.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from milepost.client import Client
from milepost.clock import Clock
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from milepost.sse import Event, events_together
from milepost.vocabulary import Millis, Position
from regional_logger.links.news import SNAPSHOT, Applied, Change, following, read_change, read_part
from regional_logger.links.store import ReplicaStore

log = get_log(__name__)

STREAM = "/sync/stream"
ASK = {"Accept-Encoding": "gzip"}
SILENCE_SECONDS_MAX = 30.0  # three heartbeats
SNAPSHOT_LINKS_MAX = 1_000_000
LINKS_A_WRITE = 5_000  # of a snapshot: each write waits for the disk


class Holder(Protocol):
    """What has the links at hand for visitors."""

    async def renew(self, place: FeedPlace | None) -> None:
        """Know what is in the replica now, which is of *place*, and nothing else."""

    def change(self, applied: Applied) -> None:
        """Hear what has just been changed in the replica."""


@dataclass(slots=True)
class Arriving:
    """A snapshot of which the last part is not there yet."""

    written: int = 0
    waiting: list[Link] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many links there are so far."""
        return self.written + len(self.waiting)


class FeedFollower:
    """Keeps *store* and *holder* equal to the registry behind *client*."""

    def __init__(
        self,
        client: Client,
        store: ReplicaStore,
        holder: Holder,
        clock: Clock,
        *,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
    ) -> None:
        self._client = client
        self._store = store
        self._holder = holder
        self._clock = clock
        self._silence_seconds_max = silence_seconds_max
        self._loaded = False
        self._place: FeedPlace | None = None
        self._doubtful = False  # the place is not to be resumed from
        self._unsettled = False  # a write has begun and not ended: it may be on disk or not
        self.moved = asyncio.Event()  # set whenever the place has become another
        self.heard_ms: Millis | None = None  # when the registry last said anything at all

    @property
    def synced(self) -> bool:
        """Tell whether what is held is some moment of the registry, however old."""
        return self._place is not None

    @property
    def place(self) -> FeedPlace | None:
        """Return the place that what is held is true for; None before the first snapshot."""
        return self._place

    @property
    def position(self) -> Position:
        """Return the position that what is held is true for; 0 before the first snapshot."""
        return self._place.position if self._place else Position(0)

    async def load(self) -> None:
        """Begin with what is on disk.  Before it, an edge knows no link."""
        place = await self._store.place()
        await self._holder.renew(place)
        self._loaded, self._unsettled = True, False
        self._moved_to(place)

    async def follow(self) -> None:
        """Connect and apply what comes until the connection ends."""
        if not self._loaded or (self._unsettled and await self._has_moved()):
            await self.load()
        self._unsettled = False
        resume = self._place is not None and not self._doubtful
        headers = ASK | ({"Last-Event-ID": str(self._place)} if resume else {})
        arriving: Arriving | None = None
        async with self._client.stream_groups(
            STREAM, headers, silence_seconds_max=self._silence_seconds_max
        ) as groups:
            async for group in events_together(self._noted(groups)):
                arriving = await self._take(group, arriving)

    async def _take(self, group: list[Event], arriving: Arriving | None) -> Arriving | None:
        """Take what arrived together; return what has arrived of a snapshot that goes on."""
        changes: list[Change] = []
        for event in group:
            if event.name == SNAPSHOT:
                await self._apply(changes)
                changes = []
                arriving = await self._collect(event, Arriving() if arriving is None else arriving)
            elif arriving is not None:
                self._doubt("a change came in the middle of a snapshot")
            else:
                try:
                    changes.append(read_change(event))
                except UnavailableError:  # what came before it is as good as ever
                    await self._apply(changes)
                    raise
        await self._apply(changes)
        return arriving

    async def _has_moved(self) -> bool:
        """Tell whether the disk may hold something else than memory."""
        return self._doubtful or await self._store.place() != self._place

    async def _noted(self, groups: AsyncIterator[list[bytes]]) -> AsyncIterator[list[bytes]]:
        async for lines in groups:
            self.heard_ms = self._clock.now()
            yield lines

    async def _collect(self, event: Event, arriving: Arriving) -> Arriving | None:
        """Take one more part; return what has arrived, or None once it is applied."""
        part = read_part(event)
        for fault in part.faults:
            log.warning("link.skipped", reason=fault)
        arriving.waiting += part.links
        if len(arriving) > SNAPSHOT_LINKS_MAX:
            self._doubt(f"a snapshot of more than {SNAPSHOT_LINKS_MAX} links")
        if part.place is None and len(arriving.waiting) < LINKS_A_WRITE:
            return arriving
        await self._store.arrive(arriving.waiting, first=not arriving.written)
        arriving.written, arriving.waiting = len(arriving), []
        if part.place is None:
            return arriving
        self._unsettled = True
        await self._store.take_arrived(part.place)
        await self.load()
        self._doubtful = False
        log.info("snapshot.applied", links=len(arriving), position=part.place.position)
        return None

    async def _apply(self, changes: list[Change]) -> None:
        """Apply in one transaction what follows of *changes*, then tell it one by one."""
        follow, doubt = following(self._place, changes)
        for change in follow:
            if change.fault:
                log.warning("link.skipped", reason=change.fault, position=change.place.position)
        if follow:
            self._unsettled = True
            gone = await self._store.apply(*follow)
            self._unsettled = False
            for change, old in zip(follow, gone, strict=True):
                applied = Applied(place=change.place, gone=old, put=change.put, after=change.after)
                self._holder.change(applied)
            self._moved_to(follow[-1].place)
        if doubt:
            self._doubt(doubt)

    def _moved_to(self, place: FeedPlace | None) -> None:
        self._place = place
        self.moved.set()

    def _doubt(self, reason: str) -> None:
        self._doubtful = True
        msg = f"the feed cannot be followed from here, a snapshot is needed: {reason}"
        raise UnavailableError(msg)
