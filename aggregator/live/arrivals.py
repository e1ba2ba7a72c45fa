"""The newest hits in memory: one reader of the database for everybody who follows.

It reads only while somebody follows, at most half of the time, and keeps only so much.  Who
is further behind reads the database itself until it has caught up.  With each erase rule all
that is kept is dropped, for some of it may be what the rule names.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable

from aggregator.asking.asker import Asker
from aggregator.live.pieces import (
    PIECE_ROWS,
    Arrival,
    Bookmark,
    Piece,
    newest_bookmark,
    piece_after,
)
from milepost.clock import Clock
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

ROWS_MAX, BYTES_MAX = 20_000, 16 << 20  # of what is kept, as it is sent
LOOK_SECONDS = 0.1  # between looks whether something was committed
LOOKS_MAX = 10  # then it is read in any case
BACKOFF_SECONDS = 1.0


class Arrivals:
    """What arrived lately, in its order."""

    def __init__(
        self,
        asker: Asker,
        commits: Callable[[], int],
        clock: Clock,
        erased: Callable[[], int] = int,
    ) -> None:
        self._asker = asker
        self._clock = clock
        self._commits = commits  # rises when something was made durable
        self._erased = erased  # rises with the erase rules
        self._rules = erased()
        self._wanted = asyncio.Event()
        self._news = asyncio.Event()
        self._forget()

    def want(self, *, wanted: bool) -> None:
        """Read on while it is *wanted*."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()
            self._forget()

    def _forget(self) -> None:
        self._bookmarks: list[Bookmark] = []
        self._arrivals: list[Arrival] = []
        self._bytes = self._generation = self._looks = 0
        self._seen: int | None = None  # of the commits
        self._begin: Bookmark | None = None  # nothing behind it was dropped
        self.end: Bookmark | None = None  # and up to here all is there

    @property
    def news(self) -> asyncio.Event:
        """Return what is set when something arrives next."""
        return self._news

    def announce(self) -> None:
        """Wake everybody up."""
        self._news.set()
        self._news = asyncio.Event()

    def after(self, bookmark: Bookmark) -> Piece | None:
        """Return what arrived behind *bookmark*; None: only the database knows."""
        if self._rules != (rules := self._erased()):
            self._rules = rules
            self._forget()
        if self._begin is None or self.end is None or bookmark < self._begin:
            return None
        if bookmark > self.end:  # it was read in the database, and is ahead of the reader
            return Piece(self._generation, [], bookmark, more=False)
        first = bisect_right(self._bookmarks, bookmark)
        found = self._arrivals[first : first + PIECE_ROWS]
        more = first + len(found) < len(self._arrivals)
        return Piece(self._generation, found, found[-1].bookmark if more else self.end, more)

    async def run(self) -> None:
        """Read for ever, while it is wanted."""
        while True:
            await self._wanted.wait()
            await self._clock.sleep(await self._look())

    async def _look(self) -> float:
        """Read what has been committed, if anything may have; return how long to wait."""
        commits = self._commits()
        if commits == self._seen and self._looks < LOOKS_MAX:
            self._looks += 1
            return LOOK_SECONDS
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            more = await self._read()
        except ServiceError as error:
            log.warning("live.failed", reason=str(error))
            return BACKOFF_SECONDS
        self._looks, self._seen = 0, None if more else commits
        return max(loop.time() - begun, 0.0 if more else LOOK_SECONDS)

    async def _read(self) -> bool:
        end = self.end
        if end is None:
            piece = await self._asker.ask(newest_bookmark)
        else:
            piece = await self._asker.ask(lambda db, budget: piece_after(db, end, budget))
        if not self._wanted.is_set() or self.end is not end:
            return False  # nobody follows any more, or others than before
        self._generation = piece.generation
        self._begin, self.end = self._begin or piece.end, piece.end
        self._arrivals += piece.arrivals
        self._bookmarks += [each.bookmark for each in piece.arrivals]
        self._bytes += sum(len(each.content) for each in piece.arrivals)
        self._drop()
        if piece.arrivals or end is None:
            self.announce()
        return piece.more

    def _drop(self) -> None:
        """Drop the oldest, down to what may be kept."""
        dropped = max(len(self._arrivals) - ROWS_MAX, 0)
        kept = self._bytes - sum(len(each.content) for each in self._arrivals[:dropped])
        while kept > BYTES_MAX:
            kept -= len(self._arrivals[dropped].content)
            dropped += 1
        if dropped:
            self._begin = self._bookmarks[dropped - 1]
            del self._arrivals[:dropped], self._bookmarks[:dropped]
        self._bytes = kept
