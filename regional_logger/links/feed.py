"""Following the registry's feed.

Disk first, then memory: what a visit finds was on disk before, so a restart
never goes back behind it.  Whatever is doubtful ends the connection; the next
one resumes from the place on disk, or asks for a snapshot when that place no
longer means anything.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from milepost.client import Client
from milepost.clock import Clock
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from milepost.sse import Event, events
from milepost.vocabulary import LinkId, Millis, Position
from regional_logger.links.news import SNAPSHOT, Change, read_change, read_part
from regional_logger.links.store import ReplicaStore

log = get_log(__name__)

STREAM = "/sync/stream"
SILENCE_SECONDS_MAX = 30.0  # three heartbeats
SNAPSHOT_LINKS_MAX = 1_000_000


class Table(Protocol):
    """What holds the links for visitors."""

    def put(self, link: Link) -> None:
        """Add *link*, or replace what was held under its id."""

    def remove(self, link_id: LinkId) -> None:
        """Forget a link, if it is there."""

    def replace_all(self, links: Iterable[Link]) -> None:
        """Hold *links* and nothing else."""


class FeedFollower:
    """Keeps *store* and *table* equal to the registry behind *client*."""

    def __init__(
        self,
        client: Client,
        store: ReplicaStore,
        table: Table,
        clock: Clock,
        *,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
    ) -> None:
        self._client = client
        self._store = store
        self._table = table
        self._clock = clock
        self._silence_seconds_max = silence_seconds_max
        self._loaded = False
        self._place: FeedPlace | None = None
        self._doubtful = False  # the place is not to be resumed from
        self.heard_ms: Millis | None = None  # when the registry last said anything at all

    @property
    def synced(self) -> bool:
        """Tell whether the table is some moment of the registry, however old."""
        return self._place is not None

    @property
    def position(self) -> Position:
        """Return the position that the table is true for; 0 before the first snapshot."""
        return self._place.position if self._place else Position(0)

    async def load(self) -> None:
        """Fill the table from disk.  Before it, an edge knows no link."""
        replica = await self._store.load()
        self._table.replace_all(replica.links)
        self._place, self._loaded = replica.place, True

    async def follow(self) -> None:
        """Connect and apply what comes until the connection ends."""
        if not self._loaded:
            await self.load()
        resume = self._place is not None and not self._doubtful
        headers = {"Last-Event-ID": str(self._place)} if resume else {}
        parts: list[Link] | None = None
        async with self._client.stream(
            STREAM, headers, silence_seconds_max=self._silence_seconds_max
        ) as lines:
            async for event in events(self._noted(lines)):
                if event.name == SNAPSHOT:
                    parts = await self._collect(event, parts or [])
                elif parts is None:
                    await self._apply(read_change(event))
                else:
                    self._doubt("a change came in the middle of a snapshot")

    async def _noted(self, lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for line in lines:
            self.heard_ms = self._clock.now()
            yield line

    async def _collect(self, event: Event, links: list[Link]) -> list[Link] | None:
        """Take one more part; return what was collected, or None once all is applied."""
        part = read_part(event)
        for fault in part.faults:
            log.warning("link.skipped", reason=fault)
        links += part.links
        if len(links) > SNAPSHOT_LINKS_MAX:
            self._doubt(f"a snapshot of more than {SNAPSHOT_LINKS_MAX} links")
        if part.place is None:
            return links
        await self._store.replace(part.place, links)
        self._table.replace_all(links)
        self._place, self._doubtful = part.place, False
        log.info("snapshot.applied", links=len(links), position=part.place.position)
        return None

    async def _apply(self, change: Change) -> None:
        held = self._place
        if held is None or change.place.history != held.history:
            self._doubt("a change came that belongs to no history held here")
        elif change.place.position > held.position + 1:
            self._doubt(f"{change.place.position} came after {held.position}")
        elif change.place.position == held.position + 1:
            if change.fault:
                log.warning("link.skipped", reason=change.fault, position=change.place.position)
            await self._store.apply(change)
            self._place = change.place
            if change.put is not None:
                self._table.put(change.put)
            if change.remove is not None:
                self._table.remove(change.remove)

    def _doubt(self, reason: str) -> None:
        self._doubtful = True
        msg = f"the feed cannot be followed from here, a snapshot is needed: {reason}"
        raise UnavailableError(msg)
