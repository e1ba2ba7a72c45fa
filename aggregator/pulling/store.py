"""The SQL of what sources tell, and of how far each stream has been applied."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from aggregator.pulling.meters import COUNT_MAX, is_lower
from aggregator.pulling.select import Selection, beginning
from milepost.errors import UnavailableError
from milepost.sqlite import Connection
from milepost.vocabulary import Chain, LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, Life, MeterRow, PullAnswer, StreamHead

CURSORS_OF_SOURCE = """
    SELECT stream, seq, chain FROM stream
     WHERE source = ? AND present = 1 ORDER BY created_ms DESC LIMIT ?
"""
CURSORS_PRESENT = "SELECT stream, seq, chain FROM stream WHERE present = 1"
CURSORS_NAMED = """
    SELECT stream, seq, chain FROM stream
     WHERE stream IN (SELECT unhex(value) FROM json_each(?))
"""

PUT_SOURCE = """
    INSERT INTO source (url, region, machine, version, last_success_ms) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (url) DO UPDATE
       SET region = excluded.region, machine = excluded.machine,
           version = excluded.version, last_success_ms = excluded.last_success_ms
"""
MARK_ABSENT = """
    UPDATE stream SET present = 0
     WHERE source = ? AND present = 1
       AND stream NOT IN (SELECT unhex(value) FROM json_each(?))
"""
# What was announced once stays promised, also when a file comes back shorter.  Its life
# is what it was first said to be: all that is counted of it is counted there.
PUT_STREAM = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, end_chain, fault)
    VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, 0, ?, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET source = excluded.source, region = excluded.region,
           open = excluded.open, present = 1, fault = excluded.fault,
           last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records),
           end_chain = excluded.end_chain
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

MOVE_CURSOR = """
    UPDATE stream SET seq = ?, chain = ?, records = records + ?
     WHERE stream = ? AND seq = ? AND chain = ?
"""


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


def _stream_row(
    source: str, region: str, head: StreamHead, selection: Selection
) -> tuple[Any, ...]:
    return (
        head.id,
        source,
        region,
        head.life,
        head.created_ms,
        head.open,
        beginning(head.id).chain,
        head.last_seq,
        head.records,
        head.last_chain,
        selection.faults.get(head.id),
    )


def _life_row(source: str, answer: PullAnswer, life: Life, now: Millis) -> tuple[Any, ...]:
    where = (source, answer.region, answer.machine)
    return (life.id, *where, life.worker, life.started_ms, life.alive, now)


def move_cursors(db: Connection, selection: Selection) -> None:
    """Move the cursors behind what was applied, if they are where *selection* began."""
    counts: Counter[StreamId] = Counter()
    newest: dict[StreamId, int] = {}
    for batch in selection.fresh:
        header = batch.header
        counts[header.stream] += header.count
        newest[header.stream] = max(newest.get(header.stream, 0), header.last_ms)
    db.executemany(NOTE_NEWEST, ((moment, stream) for stream, moment in newest.items()))
    for stream, after in selection.after.items():
        before = selection.before[stream]
        row = (after.seq, after.chain, counts[stream], stream, before.seq, before.chain)
        if db.execute(MOVE_CURSOR, row).rowcount != 1:
            # Two sources brought one stream at the same time: the other was first.
            msg = f"stream {stream.hex()} moved meanwhile"
            raise UnavailableError(msg)


def cursors_from(rows: Iterable[Any]) -> dict[StreamId, Cursor]:
    """Read rows of stream, seq and chain."""
    return {StreamId(stream): Cursor(Seq(seq), Chain(chain)) for stream, seq, chain in rows}


def lives_from(rows: Iterable[Any]) -> frozenset[LifeId]:
    """Read rows of a life."""
    return frozenset(LifeId(life) for (life,) in rows)


def hex_list(streams: Iterable[StreamId]) -> str:
    """Write ids so that one bound value holds them all."""
    return _hexes(stream.hex() for stream in streams)


def _hexes(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()
