"""What is sent to subscribers: pages of changes, and snapshots; made once for all who need them.

What has happened does not change, so a page that was read is true for as long as
the history goes on, and what is at its end is true until the next announcement.
"""

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from link_registry.news import News
from link_registry.packing import packed, unpacked
from link_registry.store import Change, LinkStore
from milepost.errors import UnavailableError
from milepost.links import CONTINUE, FeedPlace
from milepost.sse import Event, frame
from milepost.vocabulary import Position

SNAPSHOT_PART_LINKS = 500
CHANGES_PER_READ = 200
PAGES_KEPT = 8
CHANGES_BEHIND_MAX: Final = 10_000  # an edge further behind than this gets a snapshot


class Piece:
    """Frames that are written together, held as small as they can be."""

    __slots__ = ("_packed",)

    def __init__(self, frames: bytes) -> None:
        self._packed = packed(frames)

    def content(self, *, gzip: bool) -> bytes:
        """Return what is to be written."""
        return self._packed if gzip else unpacked(self._packed)


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes in their order, and where one stands after them."""

    piece: Piece
    end: FeedPlace


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Snapshot:
    """All links at one place, ready to be sent."""

    place: FeedPlace
    pieces: tuple[Piece, ...]


class Pages:
    """Reads *store* once for many subscribers."""

    def __init__(self, store: LinkStore, news: News) -> None:
        self._store = store
        self._news = news
        self._reading = asyncio.Lock()
        self._kept: OrderedDict[FeedPlace, Page] = OrderedDict()
        self._end: tuple[asyncio.Event, FeedPlace] | None = None
        self._building = asyncio.Lock()
        # One snapshot serves all who need one at the same time.  It is gone
        # when the last of them has it.
        self._shared: Callable[[], Snapshot | None] = _nothing

    async def after(self, place: FeedPlace) -> Page | None:
        """Return a page of what follows *place*; None: nothing does yet."""
        async with self._reading:
            if self._end == (self._news.next(), place):
                return None
            if place not in self._kept:
                page = await self._read(place)
                if page is None:
                    return None
                self._kept[place] = page
                if len(self._kept) > PAGES_KEPT:
                    self._kept.popitem(last=False)
            return self._kept[place]

    async def snapshot(self) -> Snapshot:
        """Return all links as of some place that is near enough to follow on from."""
        async with self._building:
            snapshot = self._shared()
            newest = self._store.place(await self._store.position())
            if snapshot is None or newest.position - snapshot.place.position > CHANGES_BEHIND_MAX:
                snapshot = await self._read_snapshot()
                self._shared = weakref.ref(snapshot)
            return snapshot

    async def _read(self, place: FeedPlace) -> Page | None:
        news = self._news.next()
        changes = await self._store.changes_after(place.position, CHANGES_PER_READ)
        if not changes:
            self._end = (news, place)
            return None
        if changes[0].position != place.position + 1:
            msg = "the changes that come next are not kept any more"
            raise UnavailableError(msg)
        frames = b"".join(_change_frame(place.history, change) for change in changes)
        return Page(Piece(frames), FeedPlace(place.history, changes[-1].position))

    async def _read_snapshot(self) -> Snapshot:
        place, parts = self._store.place(Position(0)), list[bytes]()
        pieces = []
        async for position, links in self._store.parts(SNAPSHOT_PART_LINKS):
            place = FeedPlace(place.history, position)
            pieces += [Piece(_part_frame(part, last=False, place="")) for part in parts]
            parts = [orjson.dumps([link.to_rule() for link in links])]
        pieces += [Piece(_part_frame(part, last=True, place=str(place))) for part in parts]
        return Snapshot(place, tuple(pieces))


def continuing(held: FeedPlace, place: FeedPlace) -> Piece:
    """Return what tells who holds *held* that it is the same as *place*."""
    data = orjson.dumps({"after": str(held)})
    return Piece(frame(Event(CONTINUE, data, str(place))))


def _change_frame(history: str, change: Change) -> bytes:
    data = orjson.dumps({"action": change.action, "rule": orjson.Fragment(change.rule)})
    return frame(Event(change.action, data, str(FeedPlace(history, change.position))))


def _part_frame(links: bytes, *, last: bool, place: str) -> bytes:
    data = orjson.dumps({"links": orjson.Fragment(links), "last": last})
    return frame(Event("snapshot", data, place))


def _nothing() -> None:
    """Return no snapshot."""
