"""A worker's links: the replica on disk, which the parent writes, and what changes in it.

The parent tells a change after it is on disk, and each has its place in the feed.
So a worker that reads the disk at any moment knows which of the changes that it
hears it has seen already.  Where the parent has no disk for the replica it tells
every link instead.
"""

import asyncio

from milepost.clock import Clock
from milepost.errors import UnavailableError
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from regional_logger.links.local import LocalLinks
from regional_logger.links.news import Applied

log = get_log(__name__)

RETRY_SECONDS = 1.0
WAITING_MAX = 10_000  # changes heard while the disk is read; after more it is read again


class FarLinks:
    """Keeps *local* equal to the parent's replica."""

    def __init__(self, local: LocalLinks, clock: Clock) -> None:
        self._local = local
        self._clock = clock
        self._place: FeedPlace | None = None
        self._waiting: list[Applied] | None = None  # while the disk is read
        self._parts: list[Link] = []
        self._told = False  # every link, because there is no disk
        self._again = False
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def settled(self) -> None:
        """Wait until the links have been read once, or could not be."""
        if self._task is not None:
            await self._settled.wait()

    def settle(self) -> None:
        """Have nobody wait for the links."""
        self._settled.set()

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def reload(self) -> None:
        """Read the replica: what was heard before is in it."""
        self._waiting = []
        self._told = False
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read())
        else:
            self._again = True

    def collect(self, links: tuple[Link, ...], *, last: bool) -> None:
        """Take a part of all links; with the last one they take effect."""
        self._parts += links
        if last:
            self._local.hold_all(self._parts)
            self._parts, self._told, self._waiting = [], True, None

    def change(self, applied: Applied) -> None:
        """Take a change, unless the links that were read have it already."""
        if self._waiting is None:
            self._take(applied)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(applied)
        else:
            self.reload()

    def _take(self, applied: Applied) -> None:
        held, told = self._place, applied.place
        follows = held is not None and told.history == held.history
        goes_on = held is not None and applied.after == held
        if self._told or goes_on or (follows and held and told.position == held.position + 1):
            self._place = told
            self._local.table.change(applied.gone, applied.put)
        elif not (follows and held and told.position <= held.position):
            self.reload()

    async def _read(self) -> None:
        while True:
            self._again = False
            try:
                place = await self._local.renew()
            except UnavailableError as error:
                log.warning("links.not_read", reason=str(error))
                self._settled.set()  # the visitor comes first, and prefixes need no links
                await self._clock.sleep(RETRY_SECONDS)
                continue
            if self._again:
                continue
            self._place = place
            waiting, self._waiting = self._waiting or [], None
            for applied in waiting:
                self.change(applied)
            self._settled.set()
            if not self._again:
                return
