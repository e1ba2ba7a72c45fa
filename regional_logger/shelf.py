"""The shelf: every stream on this machine's disk, read for handing over.

Open or closed, of this life or of a dead one, all are read alike: through
read-only connections, in short questions, so that no writer ever waits.  A file
that cannot be read is named and never stands in the way of the others.
"""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from milepost import sqlite
from milepost.batch import Batch, first_chain
from milepost.database import Readers
from milepost.errors import RejectedError, ServiceError
from milepost.logs import get_log
from milepost.stream import store
from milepost.stream.files import SUFFIX, is_open, is_unborn, path_of
from milepost.stream.meter import SUFFIX as METER_SUFFIX
from milepost.stream.meter import read_meter
from milepost.stream.reading import UNREADABLE, require_stream
from milepost.stream.verify import well_formed
from milepost.vocabulary import Seq, StreamId
from milepost.wire import Cursor, Life, StreamHead
from regional_logger import metrics

log = get_log(__name__)

READERS_OPEN_MAX = 32
BATCHES_A_READ_MAX, BATCH_BYTES_LEAST = 200, 500
LOOKS_MAX = 500  # at the counts of a file with a damaged page; two or three suffice for a whole one


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that is on the shelf at one moment."""

    lives: tuple[Life, ...]
    heads: tuple[StreamHead, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading on in one stream."""

    batches: tuple[Batch, ...] = ()
    fork: bool = False  # the cursor is of another history
    unreadable: bool = False  # behind these batches is what is no batch, or cannot be read


class Shelf:
    """Reads the streams in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: OrderedDict[Path, Readers] = OrderedDict()
        self._heads: dict[Path, StreamHead] = {}
        self._damaged: set[str] = (
            set()
        )  # files that were found out only when their batches were read
        self._told: set[str] = set()

    def path_of(self, stream: StreamId) -> Path:
        """Return where *stream* lies."""
        return path_of(self.folder, stream)

    async def contents(self) -> Contents:
        """Look at every file."""
        heads = []
        # Lives first: one that has ended by then begins no stream that is missed here.
        lives, unreadable = self.lives()
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                head = await self._head(path)
            except UNREADABLE as error:
                unreadable.append(path.name)
                await self.forget(path)
                self._tell_once(path.name, str(error))
                continue
            if head is not None:
                heads.append(head)
        self._damaged = {name for name in self._damaged if (self.folder / name).exists()}
        metrics.UNREADABLE.set(len(self._damaged.union(unreadable)))
        return Contents(lives=lives, heads=tuple(heads), unreadable=tuple(unreadable))

    def lives(self) -> tuple[tuple[Life, ...], list[str]]:
        """Return every life that has a meter, and the names of meters that cannot be read."""
        lives, unreadable = [], []
        for path in sorted(self.folder.glob(f"*{METER_SUFFIX}")):
            try:
                lives.append(read_meter(path))
            except ServiceError as error:
                if not path.exists():  # retired at this moment
                    continue
                unreadable.append(path.name)
                self._tell_once(path.name, str(error))
        return tuple(lives), unreadable

    async def read(self, stream: StreamId, after: Cursor, bytes_max: int) -> Reading:
        """Return what follows *after*: at least one batch if there is one, up to *bytes_max*.

        A batch that is not as it was written is handed over as it is: the aggregator judges it.
        What is no batch at all, and what comes behind it, never is.
        """
        path = self.path_of(stream)
        found: list[Batch] = []
        fault = ""
        holds = False
        enough = min(BATCHES_A_READ_MAX, bytes_max // BATCH_BYTES_LEAST + 1)
        try:
            holds = await self._holds(stream, after)
            if not holds:
                return Reading(fork=True)
            found = await self._batches(stream, after.seq, enough, bytes_max)
        except UNREADABLE as error:
            fault = str(error)
            await self.forget(path)
            if holds:  # where nobody can tell whose history it is, nothing follows
                found = await self._one_by_one(stream, after.seq, bytes_max)
        good, worse = await asyncio.to_thread(well_formed, found, after)
        self._judge(path.name, worse or fault)
        return Reading(batches=tuple(good), unreadable=bool(worse or fault))

    async def _one_by_one(self, stream: StreamId, seq: Seq, bytes_max: int) -> list[Batch]:
        """Return what can be read before the place that cannot: in a page it hides the others."""
        found: list[Batch] = []
        size = 0
        while size < bytes_max and len(found) < BATCHES_A_READ_MAX:
            try:
                more = await self._batches(stream, seq, 1, bytes_max)
            except UNREADABLE:
                await self.forget(self.path_of(stream))
                break
            if not more or not _comes_after(more[0], seq):
                break
            found += more
            seq = more[0].header.seq
            size += _size(more[0])
        return found

    def _judge(self, name: str, fault: str) -> None:
        if fault:
            self._damaged.add(name)
            self._tell_once(name, fault)
        else:
            self._damaged.discard(name)

    async def forget(self, path: Path) -> None:
        """Close what is open of *path*."""
        self._heads.pop(path, None)
        readers = self._readers.pop(path, None)
        if readers is not None:
            with contextlib.suppress(sqlite.Error):
                await readers.close()

    async def close(self) -> None:
        """Close everything."""
        for path in list(self._readers):
            await self.forget(path)

    async def _holds(self, stream: StreamId, at: Cursor) -> bool:
        """Tell whether *at* is a place in the file's own history."""
        if at.seq == 0:
            return at.chain == first_chain(stream)
        readers = await self._open(self.path_of(stream))
        row = await readers.row(store.CHAIN_AT, (at.seq,))
        return row is not None and row[0] == at.chain

    async def _batches(
        self, stream: StreamId, after: Seq, rows_max: int, bytes_max: int
    ) -> list[Batch]:
        readers = await self._open(self.path_of(stream))
        rows = await readers.rows(store.BATCHES_AFTER, (after, rows_max))
        found: list[Batch] = []
        size = 0
        for batch in store.batches_from(stream, rows):
            size += _size(batch)
            if found and size > bytes_max:
                break
            found.append(batch)
        return found

    async def _head(self, path: Path) -> StreamHead | None:
        """Return how far *path* goes; a file without its first row is no stream yet."""
        known = self._heads.get(path)
        if known is not None and not known.open:
            return known
        still_open = is_open(path)  # asked first: what is closed now has its last batch
        if known is None:
            if still_open and is_unborn(path):
                return None
            require_stream(path)
            known = await _begin(path, await self._open(path))
            if known is None:
                return None
        readers = await self._open(path)
        row = await readers.row(store.HEAD)
        if row is not None and row[0] != known.last_seq:
            end = store.end_from(row)
            more = await _records(readers, known.last_seq, end.seq)
            known = replace(
                known, last_seq=end.seq, last_chain=end.chain, records=known.records + more
            )
        known = replace(known, open=still_open)
        self._heads[path] = known
        return known

    async def _open(self, path: Path) -> Readers:
        readers = self._readers.get(path)
        if readers is None:
            readers = await Readers.open(path, 1)
            self._readers[path] = readers
            if len(self._readers) > READERS_OPEN_MAX:
                _, oldest = self._readers.popitem(last=False)
                await oldest.close()
        self._readers.move_to_end(path)
        return readers

    def _tell_once(self, name: str, reason: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.error("stream.unreadable", file=name, reason=reason)


async def _begin(path: Path, readers: Readers) -> StreamHead | None:
    row = await readers.row(store.STREAM)
    if row is None:
        return None
    about = store.About.from_row(row)
    if about.stream.hex() != path.stem:  # told twice under one name it would look like a fork
        msg = f"it is a copy of the stream {about.stream.hex()} under another name"
        raise RejectedError(msg)
    return StreamHead(
        id=about.stream,
        life=about.life,
        created_ms=about.created_ms,
        open=True,
        last_seq=Seq(0),
        last_chain=first_chain(about.stream),
        records=0,
    )


async def _records(readers: Readers, after: Seq, upto: Seq) -> int:
    """Return how many records the batches behind *after* tell of, but for those out of reach.

    A page that cannot be read must not keep the rest of the file from being announced.
    """
    total, looks = 0, 0
    ranges = [(int(after), int(upto))]
    while ranges and looks < LOOKS_MAX:
        first, last = ranges.pop()
        looks += 1
        try:
            row = await readers.row(store.RECORDS_AFTER, (first, last))
        except UNREADABLE:
            middle = (first + last) // 2
            ranges += [(first, middle), (middle, last)] if last - first > 1 else []
        else:
            total += int(row[0]) if row is not None else 0
    return total


def _size(batch: Batch) -> int:
    return sum(map(_bytes_in, (batch.records, batch.addresses)))


def _comes_after(batch: Batch, seq: Seq) -> bool:
    # A damaged tree can lead from a row back to itself.
    return type(batch.header.seq) is int and batch.header.seq > seq


def _bytes_in(box: object) -> int:
    # Not yet known to be one: the row may come from a damaged file.
    return len(box) if isinstance(box, bytes) else 0
