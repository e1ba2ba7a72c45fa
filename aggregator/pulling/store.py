"""The SQL of what sources tell, and of how far each stream has been applied."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from aggregator.pulling.meters import COUNT_MAX, is_lower
from aggregator.pulling.select import Damaged, Selection
from aggregator.pulling.standing import Hole, Standing, beginning
from milepost.batch import Batch, first_chain
from milepost.errors import UnavailableError
from milepost.record import RECORDS_MAX
from milepost.sqlite import Connection
from milepost.vocabulary import Chain, LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, Life, MeterRow, PullAnswer, StreamHead

# The end of what is abandoned is acknowledged where the file cannot be pulled to it.
STANDING = """
    SELECT stream, seq, chain, branch_seq, branch_chain, branch_source, forks, forked_ms,
           abandoned_ms IS NOT NULL,
           CASE WHEN abandoned_ms IS NOT NULL AND open = 0 AND fault IS NOT NULL
                THEN file_seq END, last_chain
      FROM stream
"""
STANDINGS_OF_SOURCE = f"""
    {STANDING} WHERE source = ? AND present = 1 ORDER BY created_ms DESC LIMIT ?
"""
STANDINGS_PRESENT = f"{STANDING} WHERE present = 1"
STANDINGS_NAMED = f"{STANDING} WHERE stream IN (SELECT unhex(value) FROM json_each(?))"
HOLES = """
    SELECT stream, seq, before FROM damaged
     WHERE stream IN (SELECT unhex(value) FROM json_each(?)) LIMIT ?
"""
HOLES_MAX = 10_000  # beyond that no more are filled at a time
PROMISED_MAX = 1 << 40  # of one stream: sums over very many are still told in 8 bytes
PROMISED = """
    SELECT stream, last_seq FROM stream
     WHERE stream IN (SELECT unhex(value) FROM json_each(?))
"""

# Whoever answers again is waited for again.
PUT_SOURCE = """
    INSERT INTO source (url, region, machine, version, last_success_ms, found_ms)
    VALUES (?1, ?2, ?3, ?4, ?5, ?5)
        ON CONFLICT (url) DO UPDATE
       SET region = excluded.region, machine = excluded.machine,
           version = excluded.version, last_success_ms = excluded.last_success_ms,
           abandoned_ms = NULL
"""
MARK_ABSENT = """
    UPDATE stream SET present = 0
     WHERE source = ? AND present = 1
       AND stream NOT IN (SELECT unhex(value) FROM json_each(?))
"""
# What was announced once stays promised, also when a file comes back shorter.  A stream that
# is written and pulled again after all is not abandoned any more: nobody knows what it will hold.
# Its life is what it was first said to be: all that is counted of it is counted there.
PUT_STREAM = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, fault,
                        file_seq, last_chain, file_records)
    VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, 0, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET source = excluded.source, region = excluded.region,
           open = excluded.open, present = 1, fault = excluded.fault,
           last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records),
           file_seq = excluded.file_seq, last_chain = excluded.last_chain,
           file_records = excluded.file_records,
           abandoned_ms = CASE WHEN excluded.open AND excluded.fault IS NULL
                               THEN NULL ELSE abandoned_ms END,
           swept_ms = NULL, retired_ms = NULL
"""
# Stands for the url of the source of a stream that no machine has ever announced here.
OF_COPIES = "replica:"
# No source is heard: whether one has the stream stays as it was told.
PUT_COPY = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, fault,
                        file_seq, last_chain, file_records)
    VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, 0, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records)
"""
MARK_LIVES_ABSENT = """
    UPDATE life SET present = 0
     WHERE source = ? AND present = 1
       AND life NOT IN (SELECT unhex(value) FROM json_each(?))
"""
PUT_LIFE = """
    INSERT INTO life (life, source, region, machine, worker, started_ms, alive, present,
                      told_ms, newest_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, 0)
        ON CONFLICT (life) DO UPDATE
       SET source = excluded.source, machine = excluded.machine, worker = excluded.worker,
           started_ms = excluded.started_ms, alive = excluded.alive, present = 1,
           told_ms = max(coalesce(told_ms, 0), excluded.told_ms)
"""
# A life that only its streams tell of: its meter could not be kept, or read, or is gone.
PUT_SILENT_LIFE = """
    INSERT INTO life (life, source, region, machine, worker, started_ms, alive, present, newest_ms)
    VALUES (?, ?, ?, ?, 0, ?, 0, 0, 0) ON CONFLICT (life) DO NOTHING
"""
NOTE_LOWERED = "UPDATE life SET lowered_ms = told_ms WHERE life = ? AND lowered_ms IS NULL"
NOTE_NEWEST = """
    UPDATE life SET newest_ms = max(newest_ms, ?)
     WHERE life = (SELECT life FROM stream WHERE stream = ?)
"""
LIVES_ENDED = "SELECT life FROM life WHERE alive = 0 AND present = 1"
LIVES_ENDED_OF_SOURCE = f"{LIVES_ENDED} AND source = ?"
METER = "SELECT hour_ms, accepted, shed, excluded FROM meter WHERE life = ?"
# A meter only rises: one that comes back lower is an older copy, and hides nothing.
PUT_METER = """
    INSERT INTO meter (life, hour_ms, accepted, shed, excluded) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (life, hour_ms) DO UPDATE
       SET accepted = max(accepted, excluded.accepted),
           shed     = max(shed, excluded.shed),
           excluded = max(meter.excluded, excluded.excluded)
"""

# A count out of a damaged row may be anything; a sum that overflowed would stop every answer.
MOVE_CURSOR = """
    UPDATE stream SET seq = ?, chain = ?, records = min(records + ?, 9007199254740991)
     WHERE stream = ? AND seq = ? AND chain = ?
"""
MOVE_BRANCH = """
    UPDATE stream SET branch_seq = ?, branch_chain = ?,
           branch_records = min(branch_records + ?, 9007199254740991)
     WHERE stream = ? AND branch_seq = ? AND branch_chain = ? AND branch_source = ?
"""
BEGIN_BRANCH = """
    UPDATE stream SET branch_seq = 0, branch_chain = ?, branch_records = 0, branch_source = ?,
           forks = forks + 1, forked_ms = ?
     WHERE stream = ?
"""
# Beyond the cursor, the branch is the history that goes on.
TAKE_BRANCH = """
    UPDATE stream SET seq = branch_seq, chain = branch_chain, records = branch_records
     WHERE stream = ? AND branch_seq > seq
"""
END_BRANCH = """
    UPDATE stream SET branch_seq = NULL, branch_chain = NULL, branch_records = NULL,
           branch_source = NULL
     WHERE stream = ? AND branch_seq = seq AND branch_chain = chain
"""

# Something is missing up to the end that was ever announced, or of the branch in its file.
# For who asks about streams: conditions and sums over a row of `stream`.
BEHIND = "(seq < last_seq OR (branch_source = source AND branch_seq < file_seq))"
RECORDS_BEHIND = """
    max(CASE WHEN seq < last_seq THEN last_records - records ELSE 0 END,
        CASE WHEN branch_source = source AND branch_seq < file_seq
             THEN file_records - branch_records ELSE 0 END, 0)
"""

HAS_DAMAGED = "SELECT EXISTS (SELECT 1 FROM damaged)"
PUT_DAMAGED = """
    INSERT INTO damaged (stream, seq, batch, count, epoch, key, first_ms, last_ms, tally, records,
                         addresses, chain, before, reason, at_ms)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
     WHERE NOT EXISTS (SELECT 1 FROM applied WHERE batch = ?3)
        ON CONFLICT DO NOTHING
"""
DAMAGED = "SELECT count(*), coalesce(sum(count), 0) FROM damaged"
DROP_DAMAGED = "DELETE FROM damaged WHERE stream = ? AND seq = ? AND chain = ?"
DROP_DAMAGED_BATCH = "DELETE FROM damaged WHERE batch = ?"


def announce(
    db: Connection, source: str, answer: PullAnswer, selection: Selection, now: Millis
) -> None:
    """Note what *source* told of itself, its streams and its lives, at *now* or later."""
    db.execute(PUT_SOURCE, (source, answer.region, answer.machine, answer.version, now))
    # A file that is there and cannot be read has not gone.
    kept = {path.partition(".")[0] for path in answer.unreadable}
    db.execute(MARK_ABSENT, (source, _hexes({head.id.hex() for head in answer.streams} | kept)))
    db.executemany(
        PUT_STREAM,
        (_stream_row(source, answer.region, head, selection) for head in answer.streams),
    )
    for life in answer.lives:
        if is_lower(_meter(db, life.id), life.meter):
            db.execute(NOTE_LOWERED, (life.id,))
    db.execute(MARK_LIVES_ABSENT, (source, _hexes({life.id.hex() for life in answer.lives} | kept)))
    db.executemany(PUT_LIFE, (_life_row(source, answer, life, now) for life in answer.lives))
    db.executemany(
        PUT_SILENT_LIFE,
        (
            (head.life, source, answer.region, answer.machine, head.created_ms)
            for head in answer.streams
        ),
    )
    db.executemany(
        PUT_METER,
        (
            (life.id, row.hour_ms, *(min(count, COUNT_MAX) for count in row[1:]))
            for life in answer.lives
            for row in life.meter
        ),
    )


def _meter(db: Connection, life: LifeId) -> list[MeterRow]:
    return [MeterRow(*row) for row in db.execute(METER, (life,))]


def announce_copy(db: Connection, answer: PullAnswer, selection: Selection) -> None:
    """Note what a copy of one stream promises, found where no machine hands it over."""
    (head,) = answer.streams
    source = f"{OF_COPIES}{answer.region}/{answer.machine}"
    row = _stream_row(source, answer.region, head, selection)
    db.execute(PUT_COPY, (*row[:5], *row[6:]))  # open: nobody knows
    db.execute(PUT_SILENT_LIFE, (head.life, source, answer.region, answer.machine, head.created_ms))


def _stream_row(
    source: str, region: str, head: StreamHead, selection: Selection
) -> tuple[Any, ...]:
    records = min(head.records, PROMISED_MAX)
    return (
        head.id,
        source,
        region,
        head.life,
        head.created_ms,
        head.open,
        beginning(head.id).chain,
        head.last_seq,
        records,
        selection.faults.get(head.id),
        head.last_seq,
        head.last_chain,
        records,
    )


def _life_row(source: str, answer: PullAnswer, life: Life, now: Millis) -> tuple[Any, ...]:
    where = (source, answer.region, answer.machine)
    return (life.id, *where, life.worker, life.started_ms, life.alive, now)


def begin_branches(db: Connection, source: str, selection: Selection, now: Millis) -> None:
    """Have the file that *source* has of each forked stream read from its beginning."""
    db.executemany(
        BEGIN_BRANCH,
        ((first_chain(stream), source, now, stream) for stream in selection.begun),
    )


def move_cursors(db: Connection, source: str, selection: Selection, *, must: bool = True) -> None:
    """Move the cursors behind what was applied, if they are where *selection* began.

    Where the file of *source* is a branch, the branch moves.  With *must*, UnavailableError
    says that one is not where it was.
    """
    counts: Counter[StreamId] = Counter()
    newest: dict[StreamId, int] = {}
    for batch in selection.passed():
        before = selection.before.get(batch.header.stream)
        if before is not None and batch.header.seq > before.seq:
            counts[batch.header.stream] += min(batch.header.count, COUNT_MAX)
    for batch in selection.fresh:
        header = batch.header
        newest[header.stream] = max(newest.get(header.stream, 0), header.last_ms)
    db.executemany(NOTE_NEWEST, ((moment, stream) for stream, moment in newest.items()))
    for stream, after in selection.after.items():
        before = selection.before[stream]
        row = (*after, min(counts[stream], COUNT_MAX), stream, *before)
        if db.execute(MOVE_BRANCH, (*row, source)).rowcount == 1:
            db.execute(TAKE_BRANCH, (stream,))
            db.execute(END_BRANCH, (stream,))
        elif db.execute(MOVE_CURSOR, row).rowcount != 1 and must:
            # Two sources brought one stream at the same time: the other was first.
            msg = f"stream {stream.hex()} moved meanwhile"
            raise UnavailableError(msg)


def put_damaged(db: Connection, damaged: Iterable[Damaged], now: Millis) -> int:
    """Set *damaged* batches aside, but for those whose id was applied; return how many."""
    return sum(db.execute(PUT_DAMAGED, _damaged_row(each, now)).rowcount for each in damaged)


def drop_damaged(db: Connection, applied: Iterable[Batch]) -> None:
    """Remove what is set aside of batches that came as they were written.

    A damaged one has kept its id or its chain value, or both; what only stands in its place
    is of another history.
    """
    if not db.execute(HAS_DAMAGED).fetchone()[0]:
        return
    for batch in applied:
        header = batch.header
        db.execute(DROP_DAMAGED_BATCH, (header.batch,))
        # Also where its id is what was damaged; a fork's batch in the same place is another one.
        db.execute(DROP_DAMAGED, (header.stream, header.seq, batch.chain))


def _damaged_row(damaged: Damaged, now: Millis) -> tuple[Any, ...]:
    batch, header = damaged.batch, damaged.batch.header
    return (
        header.stream,
        header.seq,
        header.batch,
        min(header.count, RECORDS_MAX),
        header.epoch,
        header.key,
        header.first_ms,
        header.last_ms,
        header.tally,
        batch.records,
        batch.addresses,
        batch.chain,
        damaged.before,
        damaged.reason,
        now,
    )


def standings_from(rows: Iterable[Any], holes: Iterable[Any] = ()) -> dict[StreamId, Standing]:
    """Read rows of STANDING, and of HOLES."""
    found: dict[StreamId, set[Hole]] = {}
    for stream, seq, before in holes:
        found.setdefault(StreamId(stream), set()).add((Seq(seq), Chain(before)))
    return {
        StreamId(row[0]): _standing(row[1:], frozenset(found.get(StreamId(row[0]), ())))
        for row in rows
    }


def _standing(row: Sequence[Any], holes: frozenset[Hole]) -> Standing:
    seq, chain, branch_seq, branch_chain, branch_source, *rest = row
    forks, forked_ms, abandoned, end, end_chain = rest
    return Standing(
        cursor=Cursor(Seq(seq), Chain(chain)),
        branch=None if branch_seq is None else Cursor(Seq(branch_seq), Chain(branch_chain)),
        branch_source=branch_source or "",
        forks=forks,
        forked_ms=None if forked_ms is None else Millis(forked_ms),
        abandoned=bool(abandoned),
        end=None if end is None else Cursor(Seq(end), Chain(end_chain)),
        holes=holes,
    )


def lives_from(rows: Iterable[Any]) -> frozenset[LifeId]:
    """Read rows of a life."""
    return frozenset(LifeId(life) for (life,) in rows)


def hex_list(ids: Iterable[bytes]) -> str:
    """Write ids so that one bound value holds them all."""
    return _hexes(each.hex() for each in ids)


def _hexes(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()
