"""The SQL that reads a stream.  What writes one stands with its writer.

A stream is never migrated, so this reads every version that was ever released;
so far there is one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from milepost.batch import CHAIN_BYTES, ID_BYTES, Batch, Header
from milepost.errors import RejectedError
from milepost.vocabulary import (
    BatchId,
    Chain,
    Epoch,
    KeyId,
    LifeId,
    Millis,
    Seq,
    StreamId,
)
from milepost.wire import Cursor

STREAM = "SELECT id, life, worker, region, machine, created_ms, version FROM stream"

HEAD = """
    SELECT seq, chain FROM batch ORDER BY seq DESC LIMIT 1
"""

RECORDS_AFTER = "SELECT coalesce(sum(count), 0) FROM batch WHERE seq > ? AND seq <= ?"

CHAIN_AT = "SELECT chain FROM batch WHERE seq = ?"

BATCHES_AFTER = """
    SELECT seq, batch, count, epoch, key, first_ms, last_ms, tally, records, addresses, chain
      FROM batch WHERE seq > ? ORDER BY seq LIMIT ?
"""

SUMMARY = """
    SELECT count(*), coalesce(max(seq), 0), coalesce(sum(count), 0), min(first_ms), max(last_ms)
      FROM batch
"""
EPOCHS = "SELECT DISTINCT epoch FROM batch WHERE count > 0 ORDER BY epoch"
TALLIES = "SELECT batch, tally FROM batch ORDER BY seq"
INTEGRITY = "PRAGMA integrity_check(10)"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The row that a stream has about itself."""

    stream: StreamId
    life: LifeId
    worker: int
    region: str
    machine: str
    created_ms: Millis
    version: str

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Read a row of STREAM, or refuse one that damage has made something else."""
        stream, life, worker, region, machine, created_ms, version = row
        if not (_is_bytes(stream, ID_BYTES) and _is_bytes(life, ID_BYTES)):
            msg = "it is damaged: its first row does not say which stream it is"
            raise RejectedError(msg)
        return cls(
            stream=StreamId(stream),
            life=LifeId(life),
            worker=worker,
            region=region,
            machine=machine,
            created_ms=Millis(created_ms),
            version=version,
        )


def end_from(row: Any) -> Cursor:
    """Read a row of HEAD, or refuse one that damage has made something else."""
    seq, chain = row
    if not _is_bytes(chain, CHAIN_BYTES) or seq < 1:
        msg = f"it is damaged: batch {seq} has no place in the chain"
        raise RejectedError(msg)
    return Cursor(Seq(seq), Chain(chain))


def batches_from(stream: StreamId, rows: Iterable[Any]) -> list[Batch]:
    """Return the batches in *rows* of BATCHES_AFTER."""
    return [_batch(stream, row) for row in rows]


def _is_bytes(value: Any, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def _batch(stream: StreamId, row: Any) -> Batch:
    seq, batch, count, epoch, key, first_ms, last_ms, tally, records, addresses, chain = row
    header = Header(
        stream=stream,
        seq=Seq(seq),
        batch=BatchId(batch),
        epoch=Epoch(epoch),
        key=KeyId(key),
        count=count,
        first_ms=Millis(first_ms),
        last_ms=Millis(last_ms),
        tally=tally,
    )
    return Batch(header=header, records=records, addresses=addresses, chain=Chain(chain))
