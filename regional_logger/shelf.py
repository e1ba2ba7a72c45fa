"""The shelf: every stream on this machine's disk, read for handing over.

Open or closed, of this life or of a dead one, all are read alike: through
read-only connections, in short questions, so that no writer ever waits.  A file
that cannot be read is named and never stands in the way of the others.
"""

import contextlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from milepost import sqlite
from milepost.batch import Batch, first_chain, parse_tally
from milepost.database import Readers
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.vocabulary import Chain, LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, Life, StreamHead
from regional_logger import store
from regional_logger.meter import SUFFIX as METER_SUFFIX
from regional_logger.meter import read_meter
from regional_logger.stream import SUFFIX, is_open, path_of

log = get_log(__name__)

READERS_OPEN_MAX = 32
BATCHES_A_READ_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that is on the shelf at one moment."""

    lives: tuple[Life, ...]
    heads: tuple[StreamHead, ...]
    unreadable: tuple[str, ...]


class Shelf:
    """Reads the streams in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._readers: OrderedDict[Path, Readers] = OrderedDict()
        self._heads: dict[Path, StreamHead] = {}
        self._unreadable: set[str] = set()

    def path_of(self, stream: StreamId) -> Path:
        """Return where *stream* lies."""
        return path_of(self.folder, stream)

    async def contents(self) -> Contents:
        """Look at every file."""
        heads, lives, unreadable = [], [], []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                head = await self._head(path)
            except (sqlite.Error, ServiceError, OSError) as error:
                unreadable.append(path.name)
                await self.forget(path)
                self._tell_once(path.name, error)
                continue
            if head is not None:
                heads.append(head)
        for path in sorted(self.folder.glob(f"*{METER_SUFFIX}")):
            try:
                lives.append(read_meter(path))
            except ServiceError as error:
                unreadable.append(path.name)
                self._tell_once(path.name, error)
        return Contents(lives=tuple(lives), heads=tuple(heads), unreadable=tuple(unreadable))

    async def holds(self, stream: StreamId, at: Cursor) -> bool:
        """Tell whether *at* is a place in the file's own history."""
        if at.seq == 0:
            return at.chain == first_chain(stream)
        readers = await self._open(self.path_of(stream))
        row = await readers.row(store.CHAIN_AT, (at.seq,))
        return row is not None and row[0] == at.chain

    async def batches(self, stream: StreamId, after: Seq, bytes_max: int) -> list[Batch]:
        """Return what follows *after*: at least one batch if there is one, up to *bytes_max*."""
        readers = await self._open(self.path_of(stream))
        rows = await readers.rows(store.BATCHES_AFTER, (after, BATCHES_A_READ_MAX))
        found: list[Batch] = []
        size = 0
        for batch in store.batches_from(stream, rows):
            parse_tally(batch.header.tally)  # damage that the file's own checks cannot see
            size += len(batch.records) + len(batch.addresses)
            if found and size > bytes_max:
                break
            found.append(batch)
        return found

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

    async def _head(self, path: Path) -> StreamHead | None:
        """Return how far *path* goes; a file without its first row is no stream yet."""
        known = self._heads.get(path)
        if known is not None and not known.open:
            return known
        still_open = is_open(path)  # asked first: what is closed now has its last batch
        readers = await self._open(path)
        if known is None:
            known = await _begin(readers)
            if known is None:
                return None
        row = await readers.row(store.HEAD)
        if row is not None and row[0] != known.last_seq:
            (more,) = await readers.row(store.RECORDS_AFTER, (known.last_seq, row[0])) or (0,)
            known = replace(
                known,
                last_seq=Seq(row[0]),
                last_chain=Chain(row[1]),
                records=known.records + more,
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

    def _tell_once(self, name: str, error: Exception) -> None:
        if name not in self._unreadable:
            self._unreadable.add(name)
            log.error("stream.unreadable", file=name, reason=str(error))


async def _begin(readers: Readers) -> StreamHead | None:
    row = await readers.row(store.STREAM)
    if row is None:
        return None
    stream, life, _worker, _region, _machine, created_ms = row
    return StreamHead(
        id=StreamId(stream),
        life=LifeId(life),
        created_ms=Millis(created_ms),
        open=True,
        last_seq=Seq(0),
        last_chain=first_chain(StreamId(stream)),
        records=0,
    )
