"""A stream being written: one file, one writer, never reopened for writing.

What holds after each step of `create`:
1. the lock is held: whoever sees the file knows that it is open;
2. the file has its shape and its row: it is a stream without batches;
3. the folder is synced: a power cut cannot make the file vanish under a batch.

Everything here blocks, and runs on the journal's writer thread.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from milepost import __version__, sqlite
from milepost.batch import Batch, Header, Tally, first_chain, next_chain, tally_text
from milepost.config import Secret
from milepost.database import open_database
from milepost.epochs import PublicEpoch
from milepost.files import sync_folder
from milepost.logs import get_log
from milepost.record import Record
from milepost.seal import seal_addresses
from milepost.stream.files import LOCK_SUFFIX, path_of, wal_of
from milepost.stream.store import STREAM
from milepost.vocabulary import BatchId, Epoch, KeyId, Millis, Region, Seq, StreamId
from regional_logger import store
from regional_logger.meter import LifeInfo
from regional_logger.sealing import seal_whatever

log = get_log(__name__)

CHECKPOINT_EVERY_BATCHES = 500
LOOKS_PER_STREAM, COMMIT_BYTES_LEAST = 64, 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who writes: stands in every stream of a life."""

    folder: Path
    life: LifeInfo
    region: Region
    machine: str
    token: Secret  # whose derived key stands behind the MAC in address boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A batch before it has a place: what stays the same when a commit is repeated."""

    batch: BatchId
    epoch: PublicEpoch | None  # None: no record, a tally only
    records: Sequence[Record]
    addresses: Mapping[int, str]
    tally: Tally
    now: Millis


class StreamWriter:
    """The only writer a stream ever has."""

    def __init__(
        self,
        origin: Origin,
        stream: StreamId,
        *,
        connection: sqlite.Connection,
        lock: int,
        created_ms: Millis,
    ) -> None:
        self.id = stream
        self.path = path_of(origin.folder, stream)
        self.created_ms = created_ms
        self._origin = origin
        self._connection = connection
        self._lock = lock
        self._unlooked = 0  # bytes written since the last look at the files
        self._seq = Seq(0)
        self._chain = first_chain(stream)

    @classmethod
    def create(cls, origin: Origin, stream: StreamId, now: Millis) -> Self:
        """Make a new file; raise sqlite.Error or OSError if that fails."""
        path = path_of(origin.folder, stream)
        lock = os.open(path.with_suffix(LOCK_SUFFIX), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.ExitStack() as undo:
            undo.callback(remove_files, path)  # a stream that was never begun holds nothing
            undo.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = open_database(path, "stream")
            undo.callback(connection.close)
            store.open_stream(
                connection,
                stream=stream,
                life=origin.life.id,
                worker=origin.life.worker,
                region=origin.region,
                machine=origin.machine,
                created_ms=now,
                version=__version__,
            )
            sync_folder(origin.folder)
            undo.pop_all()
        return cls(origin, stream, connection=connection, lock=lock, created_ms=now)

    def append(self, draft: Draft) -> None:
        """Seal and commit *draft* as the next batch.

        When this raises, the batch may be in the file or not, and the file is
        not to be written to again.
        """
        batch = self._place(draft)
        store.append(self._connection, batch)
        self._seq, self._chain = batch.header.seq, batch.chain
        self._unlooked += COMMIT_BYTES_LEAST + len(batch.records) + len(batch.addresses)

    def is_full(self, bytes_max: int) -> bool:
        """Tell whether the stream has grown to *bytes_max*; looks only where it may have."""
        if self._unlooked * LOOKS_PER_STREAM < bytes_max:
            return False
        self._unlooked = 0
        return self.size_bytes() >= bytes_max

    def size_bytes(self) -> int:
        """Return how much the stream takes on disk, the WAL included."""
        total = 0
        for path in (self.path, wal_of(self.path)):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def wants_checkpoint(self) -> bool:
        """Tell whether the WAL has grown by as much as it may."""
        return self._seq % CHECKPOINT_EVERY_BATCHES == 0

    def checkpoint(self) -> None:
        """Shorten the WAL.  Only where no litestream holds the file."""
        with contextlib.suppress(sqlite.Error):  # only postpones the next one
            self._connection.execute(store.CHECKPOINT)

    def close(self) -> None:
        """Close the file as it is, and let go of the lock.

        A reader that is still there when the writer goes keeps SQLite from
        checkpointing on the way out, and cannot checkpoint itself.
        """
        last: sqlite.Connection | None = None
        with contextlib.suppress(sqlite.Error):
            last = sqlite.connect_read_only(self.path)
            last.execute(STREAM).fetchone()
        with contextlib.suppress(sqlite.Error):
            self._connection.close()
        if last is not None:
            last.close()
        os.close(self._lock)

    def _place(self, draft: Draft) -> Batch:
        times = [record.time for record in draft.records] or [draft.now]
        header = Header(
            stream=self.id,
            seq=Seq(self._seq + 1),
            batch=draft.batch,
            epoch=draft.epoch.number if draft.epoch else Epoch(0),
            key=draft.epoch.key_id if draft.epoch else KeyId(b""),
            count=len(draft.records),
            first_ms=min(times),
            last_ms=max(times),
            tally=tally_text(draft.tally),
        )
        records = addresses = b""
        if draft.epoch is not None:
            records, raw = seal_whatever(header, draft.records, draft.epoch.record_key)
            for index, reason in raw.items():
                log.error("record.sealed_raw", seq=header.seq, index=index, reason=reason)
            if draft.addresses:
                token = self._origin.token.reveal()
                addresses = seal_addresses(header, draft.addresses, draft.epoch.address_key, token)
        chain = next_chain(self._chain, header, records, addresses)
        return Batch(header=header, records=records, addresses=addresses, chain=chain)


def remove_files(path: Path) -> None:
    """Unlink the stream at *path* and everything beside it, the lock last."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f".{path.name}-litestream"), ignore_errors=True)
    path.with_suffix(LOCK_SUFFIX).unlink(missing_ok=True)
