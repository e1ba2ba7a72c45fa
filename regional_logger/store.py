"""The SQL that writes a stream: one row about itself, then batches.  milepost.stream reads it."""

from milepost.batch import Batch
from milepost.sqlite import Connection
from milepost.vocabulary import LifeId, Millis, StreamId

OPEN_STREAM = """
    INSERT INTO stream (id, life, worker, region, machine, created_ms, version)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""

APPEND = """
    INSERT INTO batch (seq, batch, count, epoch, key, first_ms, last_ms, tally,
                       records, addresses, chain)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
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
    """Commit *batch*: one statement is a transaction.  When this raises, it may be there or not."""
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
    connection.execute(APPEND, row)
