"""The SQL of a stream: one row about itself, then batches, appended and read back."""

from collections.abc import Iterable
from typing import Any

from milepost.batch import Batch, Header
from milepost.sqlite import Connection
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

OPEN_STREAM = """
    INSERT INTO stream (id, life, worker, region, machine, created_ms, version)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""

APPEND = """
    INSERT INTO batch (seq, batch, count, epoch, key, first_ms, last_ms, tally,
                       records, addresses, chain)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

STREAM = "SELECT id, life, worker, region, machine, created_ms FROM stream"

HEAD = """
    SELECT seq, chain FROM batch ORDER BY seq DESC LIMIT 1
"""

RECORDS_AFTER = "SELECT coalesce(sum(count), 0) FROM batch WHERE seq > ? AND seq <= ?"

CHAIN_AT = "SELECT chain FROM batch WHERE seq = ?"

BATCHES_AFTER = """
    SELECT seq, batch, count, epoch, key, first_ms, last_ms, tally, records, addresses, chain
      FROM batch WHERE seq > ? ORDER BY seq LIMIT ?
"""

CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"


def open_stream(
    connection: Connection,
    *,
    stream: StreamId,
    life: LifeId,
    worker: int,
    region: str,
    machine: str,
    created_ms: Millis,
    version: str,
) -> None:
    """Write the row a stream has about itself."""
    row = (stream, life, worker, region, machine, created_ms, version)
    connection.execute(OPEN_STREAM, row)


def append(connection: Connection, batch: Batch) -> None:
    """Commit *batch*.  When this raises, it may be there or not."""
    header = batch.header
    row = (
        header.seq,
        header.batch,
        header.count,
        header.epoch,
        header.key,
        header.first_ms,
        header.last_ms,
        header.tally,
        batch.records,
        batch.addresses,
        batch.chain,
    )
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(APPEND, row)
    connection.execute("COMMIT")


def batches_from(stream: StreamId, rows: Iterable[Any]) -> list[Batch]:
    """Return the batches in *rows* of BATCHES_AFTER."""
    return [_batch(stream, row) for row in rows]


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
