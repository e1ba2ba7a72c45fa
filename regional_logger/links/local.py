"""The links of one process: in memory as many as fit, the others read from the replica.

A visit to a link that is not in memory waits for one read, for so long and no
longer.  Reads go on a few threads and are counted from the question to the end of
the thread's work: a disk that hangs costs those few, a bounded number of waiting
questions, and no visitor more than the limit.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Barrier
from typing import Self, TypeVar

from milepost import sqlite
from milepost.errors import UnavailableError
from milepost.finding.places import Place, names_of
from milepost.links import FeedPlace, Link
from milepost.logs import get_log
from regional_logger.links.news import Applied
from regional_logger.links.store import ReplicaReader, ReplicaStore
from regional_logger.links.table import FindLink, LinkTable, paths_of
from regional_logger.metrics import (
    GATEKEEPER_BYTES,
    LINKS_NEAR,
    LINKS_NEAR_BYTES,
    READ_ABSENT,
    READ_FAILED,
    READ_FOUND,
    READ_LATE,
    READ_REFUSED,
)

log = get_log(__name__)

T = TypeVar("T")

READ_SECONDS_MAX = 0.05
READERS = 2
START_SECONDS_MAX = 5.0
READS_MAX = 256  # that may wait or run at a time
TRIES_MAX = 5  # to read a page while nothing changes


class Replica:
    """The replica in *path* for those who only read it, on threads of its own."""

    def __init__(self, path: Path) -> None:
        self._readers = [ReplicaReader(path) for _ in range(READERS + 1)]
        self._free: SimpleQueue[ReplicaReader] = SimpleQueue()
        for reader in self._readers[1:]:
            self._free.put(reader)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="links-reader")
        # Begun here, and not by visitors: then the machine may have no thread to give.
        all_there = Barrier(READERS)
        for _ in range(READERS):
            self._threads.submit(all_there.wait, START_SECONDS_MAX)
        # What is read at length is read beside the visitors' questions.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="links-pages")
        self._under_way = 0
        self._failing = False  # told once, and counted each time

    def close(self) -> None:
        """Wait for nobody: what hangs ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._aside.submit(self._readers[0].close)
        self._aside.shutdown(wait=False)
        while not self._free.empty():
            self._free.get().close()

    async def at(
        self, names: Sequence[str], paths: Sequence[str], seconds_max: float
    ) -> dict[Place, Link] | None:
        """Return the literal links at *paths* of the hosts *names*; None: nobody can tell."""
        if self._under_way >= READS_MAX:
            READ_REFUSED.inc()
            return None
        self._under_way += 1
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, self._read, names, paths)
        reading.add_done_callback(self._over)
        done, _ = await asyncio.wait([reading], timeout=seconds_max)
        if not done:
            READ_LATE.inc()
            return None
        found = reading.result()
        outcome = READ_FAILED if found is None else READ_FOUND if found else READ_ABSENT
        outcome.inc()
        return found

    async def aside(self, ask: Callable[[ReplicaReader], T]) -> T:
        """Ask something that may take its time."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._aside, ask, self._readers[0])
        except sqlite.Error as error:
            raise UnavailableError(str(error)) from error

    def _over(self, _: object) -> None:
        self._under_way -= 1

    def _read(self, names: Sequence[str], paths: Sequence[str]) -> dict[Place, Link] | None:
        reader = self._free.get()
        try:
            found = reader.at(names, paths)
        except Exception as error:  # noqa: BLE001 - the visitor gets an answer whatever it is
            if not self._failing:
                log.warning("link.not_read", reason=type(error).__name__)
            self._failing = True
            return None
        else:
            self._failing = False
            return found
        finally:
            self._free.put(reader)


class LocalLinks:
    """What one process knows, kept equal to the replica."""

    def __init__(
        self, table: LinkTable, path: Path, *, seconds_max: float = READ_SECONDS_MAX
    ) -> None:
        self.table = table
        self._replica = Replica(path)
        self._seconds_max = seconds_max
        self._to_warm = False

    @classmethod
    def beginning(cls, key: bytes, bytes_max: int, path: Path) -> Self:
        """Return links of which nothing is known yet."""
        return cls(LinkTable(key, bytes_max), path)

    def close(self) -> None:
        """Read no more."""
        self._replica.close()

    async def find(self, host: str, path: str) -> FindLink:
        """Return what finds the link of a visit for which memory was not enough."""
        version = self.table.version
        known = await self._replica.at(names_of(host), paths_of(path), self._seconds_max)
        if known is None:
            return _nothing
        for link in known.values():
            self.table.keep(link, version)
        self.table.lack(host, path, known, version)
        return functools.partial(self.table.find_among, known)

    async def renew(self) -> FeedPlace | None:
        """Know the links that are on disk now; return the place in the feed that they are of."""
        place, outline = await self._replica.aside(lambda reader: reader.outline(self.table.key))
        self.table.renew(outline)
        self._to_warm = True
        return place

    def hold_all(self, links: Sequence[Link]) -> None:
        """Know *links*, none of which is on any disk."""
        self.table.hold_all(links)
        self._to_warm = False

    async def warm(self) -> None:
        """Take links into memory while there is room, if they are not there yet."""
        LINKS_NEAR.set(self.table.near)
        LINKS_NEAR_BYTES.set(self.table.near_bytes)
        GATEKEEPER_BYTES.set(self.table.gatekeeper_bytes)
        if not self._to_warm:
            return
        self._to_warm = False
        place: Place = ("", "")
        while links := await self._page(place):
            if not self.table.warm(links):
                return
            place = (links[-1].host, links[-1].path)
        if links is not None and not self._to_warm:
            self.table.warmed()
            log.info("links.in_memory", links=self.table.near)

    async def _page(self, place: Place) -> list[Link] | None:
        """Return what follows *place*, true for this moment; None: it changes all the time."""
        for _ in range(TRIES_MAX):
            version = self.table.version
            links = await self._replica.aside(lambda reader: reader.after(place))
            if version == self.table.version:
                return links
        self._to_warm = True  # later
        return None


class OwnLinks:
    """The links of an edge in one process: it writes the replica in *store* itself."""

    def __init__(self, store: ReplicaStore, local: LocalLinks) -> None:
        self._store, self._local = store, local

    async def renew(self, place: FeedPlace | None) -> None:
        """Know what is in the replica now, which is of *place*, and nothing else."""
        del place
        if self._store.path is None:
            self._local.hold_all(await self._store.links())
        else:
            await self._local.renew()

    def change(self, applied: Applied) -> None:
        """Hear what has just been changed in the replica."""
        self._local.table.change(applied.gone, applied.put)


def _nothing(host: str, path: str) -> None:
    """Find no link: nobody could tell in time whether there is one."""
    del host, path
