"""The SQL that puts a batch where it belongs: its hits, or its sealed box, and its tally."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from aggregator.hits.store import HitWriter
from aggregator.opening.batches import Opened, Outcome, SetAside, Waiting, needs_addresses
from aggregator.opening.placing import Placed, placed
from milepost.batch import Batch, Header, add_tallies, parse_tally
from milepost.sqlite import Connection
from milepost.vocabulary import BatchId, Chain, Epoch, KeyId, LifeId, Millis, Seq, StreamId

PUT_APPLIED = """
    INSERT INTO applied (batch, stream, seq, epoch, key, count, first_ms, last_ms, tally)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (batch) DO NOTHING
"""
PUT_SEALED = "INSERT INTO sealed (batch, epoch, reason, records) VALUES (?, ?, ?, ?)"
PUT_RAW = "INSERT INTO set_aside_record (batch, idx, reason, fields) VALUES (?, ?, ?, ?)"
PUT_ADDRESSES = "INSERT INTO address_box (batch, epoch, addresses) VALUES (?, ?, ?)"
# Beyond 2^53 - 1 a count is nonsense, and a sum that overflowed would stop every later answer.
ADD_TALLY = """
    INSERT INTO tally (life, hour_ms, recorded, late, shed, excluded, pulled, set_aside)
    VALUES (?, ?, ?, ?, ?, ?, 0, 0)
        ON CONFLICT (life, hour_ms) DO UPDATE
       SET recorded = min(recorded + excluded.recorded, 9007199254740991),
           late     = min(late     + excluded.late,     9007199254740991),
           shed     = min(shed     + excluded.shed,     9007199254740991),
           excluded = min(tally.excluded + excluded.excluded, 9007199254740991)
"""
ADD_PLACED = """
    INSERT INTO tally (life, hour_ms, recorded, late, shed, excluded, pulled, set_aside)
    VALUES (?, ?, 0, 0, 0, 0, ?, ?)
        ON CONFLICT (life, hour_ms) DO UPDATE
       SET pulled = pulled + excluded.pulled, set_aside = set_aside + excluded.set_aside
"""
LIFE_OF = "SELECT life FROM stream WHERE stream = ?"

APPLIED = "SELECT batch FROM applied WHERE batch IN (SELECT unhex(value) FROM json_each(?))"
WAITING_EPOCHS = "SELECT DISTINCT epoch FROM sealed WHERE reason IS NULL"
WAITING_BATCHES = """
    SELECT stream, seq, sealed.batch, sealed.epoch, key, count, first_ms, last_ms, tally, records
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NULL AND sealed.epoch = ? LIMIT ?
"""
SEALED = """
    SELECT reason IS NOT NULL, count(*), sum(count) FROM sealed JOIN applied USING (batch)
     GROUP BY 1
"""
SET_ASIDE_RECORDS = "SELECT count(*) FROM set_aside_record"
SET_ASIDE_BATCHES = """
    SELECT stream, seq, sealed.batch, sealed.epoch, key, count, first_ms, last_ms, tally, records
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NOT NULL AND sealed.batch > ? ORDER BY sealed.batch LIMIT ?
"""
TAKE_SEALED = "DELETE FROM sealed WHERE batch = ?"
SET_ASIDE = "UPDATE sealed SET reason = ? WHERE batch = ?"
RENUMBER = """
    UPDATE applied SET id = (SELECT max(id) + 1 FROM applied) WHERE batch = ? RETURNING id
"""
DROP_ADDRESSES = "DELETE FROM address_box WHERE batch = ?"


def apply_batch(db: Connection, hits: HitWriter, outcome: Outcome) -> str:
    """Store a batch if its id is new; return what became of it."""
    batch = outcome.batch
    made = db.execute(PUT_APPLIED, _header_row(batch.header))
    if made.rowcount == 0:
        return "repeated"  # it came in another stream before, after a commit that seemed to fail
    life, tally = _life_of(db, batch.header.stream), add_tallies(parse_tally(batch.header.tally))
    db.executemany(ADD_TALLY, ((life, *row) for row in tally))
    if batch.addresses and needs_addresses(outcome):
        db.execute(PUT_ADDRESSES, (batch.header.batch, batch.header.epoch, batch.addresses))
    if isinstance(outcome, Opened):
        _write(db, hits, made.lastrowid or 0, outcome)
        _count(db, life, placed(tally, batch.header.first_ms, outcome.body))
        return "opened"
    reason = outcome.reason if isinstance(outcome, SetAside) else None
    db.execute(PUT_SEALED, (batch.header.batch, batch.header.epoch, reason, batch.records))
    return "waiting" if reason is None else "set_aside"


def settle_batch(db: Connection, hits: HitWriter, outcome: Outcome) -> str:
    """Put what came of a batch that lay sealed in its place; return what became of it."""
    header = outcome.batch.header
    if isinstance(outcome, Waiting):
        return "waiting"
    if isinstance(outcome, SetAside):
        db.execute(SET_ASIDE, (outcome.reason, header.batch))
        return "set_aside"
    if db.execute(TAKE_SEALED, (header.batch,)).rowcount == 0:
        return "repeated"
    (number,) = db.execute(RENUMBER, (header.batch,)).fetchone()
    _write(db, hits, number, outcome)
    tally = add_tallies(parse_tally(header.tally))
    _count(db, _life_of(db, header.stream), placed(tally, header.first_ms, outcome.body))
    if not needs_addresses(outcome):
        db.execute(DROP_ADDRESSES, (header.batch,))
    return "opened"


def _write(db: Connection, hits: HitWriter, number: int, opened: Opened) -> None:
    header, body = opened.batch.header, opened.body
    hits.write(number, header.epoch, body)
    rows = (
        (header.batch, each.index, each.reason, orjson.dumps(hits.fields_of(each)).decode())
        for each in body.raw
    )
    db.executemany(PUT_RAW, rows)


def _life_of(db: Connection, stream: StreamId) -> LifeId:
    (life,) = db.execute(LIFE_OF, (stream,)).fetchone()
    return LifeId(life)


def _count(db: Connection, life: LifeId, rows: Iterable[Placed]) -> None:
    db.executemany(ADD_PLACED, ((life, *row) for row in rows))


def _header_row(header: Header) -> tuple[Any, ...]:
    return (
        header.batch,
        header.stream,
        header.seq,
        header.epoch,
        header.key,
        header.count,
        header.first_ms,
        header.last_ms,
        header.tally,
    )


def header_of(columns: Sequence[Any]) -> Header:
    """Return the header in a row's first columns: stream, seq, batch and so on to the tally."""
    stream, seq, batch, epoch, key, count, first_ms, last_ms, tally = columns
    return Header(
        stream=StreamId(stream),
        seq=Seq(seq),
        batch=BatchId(batch),
        epoch=Epoch(epoch),
        key=KeyId(key),
        count=count,
        first_ms=Millis(first_ms),
        last_ms=Millis(last_ms),
        tally=tally,
    )


def batches_from(rows: Iterable[Any]) -> frozenset[BatchId]:
    """Read rows of a batch id."""
    return frozenset(BatchId(batch) for (batch,) in rows)


def batch_from(row: Any) -> Batch:
    """Read a row of a sealed batch."""
    *columns, records = row
    header = header_of(columns)
    # The chain was checked when the batch was pulled, and the address box stays where it is.
    return Batch(header=header, records=records, addresses=b"", chain=Chain(b""))
