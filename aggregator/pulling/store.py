"""The SQL of what sources tell, and of how far each stream has been applied."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from aggregator.pulling.select import Selection, beginning
from milepost.errors import UnavailableError
from milepost.sqlite import Connection
from milepost.vocabulary import Chain, LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, Life, PullAnswer, StreamHead

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
# What was announced once stays promised, also when a file comes back shorter.
PUT_STREAM = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, fault)
    VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, 0, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET source = excluded.source, region = excluded.region, life = excluded.life,
           open = excluded.open, present = 1, fault = excluded.fault,
           last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records),
           swept_ms = NULL, retired_ms = NULL
"""
# Stands for the url of the source of a stream that no machine has ever announced here.
OF_COPIES = "replica:"
# No source is heard: whether one has the stream stays as it was told.
PUT_COPY = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, fault)
    VALUES (?, ?, ?, ?, ?, 0, 0, 0, ?, 0, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records)
"""
MARK_LIVES_ABSENT = "UPDATE life SET present = 0 WHERE source = ? AND present = 1"
PUT_LIFE = """
    INSERT INTO life (life, source, region, worker, started_ms, alive, present)
    VALUES (?, ?, ?, ?, ?, ?, 1)
        ON CONFLICT (life) DO UPDATE
       SET source = excluded.source, alive = excluded.alive, present = 1
"""
LIVES_ENDED = "SELECT life FROM life WHERE alive = 0 AND present = 1"
LIVES_ENDED_OF_SOURCE = f"{LIVES_ENDED} AND source = ?"
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
    """Note what *source* told of itself, its streams and its lives."""
    db.execute(PUT_SOURCE, (source, answer.region, answer.machine, answer.version, now))
    db.execute(MARK_ABSENT, (source, hex_list(head.id for head in answer.streams)))
    db.executemany(
        PUT_STREAM,
        (_stream_row(source, answer.region, head, selection) for head in answer.streams),
    )
    db.execute(MARK_LIVES_ABSENT, (source,))
    db.executemany(PUT_LIFE, (_life_row(source, answer.region, life) for life in answer.lives))
    db.executemany(PUT_METER, ((life.id, *row) for life in answer.lives for row in life.meter))


def announce_copy(db: Connection, answer: PullAnswer, selection: Selection) -> None:
    """Note what a copy of one stream promises, found where no machine hands it over."""
    (head,) = answer.streams
    source = f"{OF_COPIES}{answer.region}/{answer.machine}"
    row = _stream_row(source, answer.region, head, selection)
    db.execute(PUT_COPY, (*row[:5], *row[6:]))  # open: nobody knows


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
        selection.faults.get(head.id),
    )


def _life_row(source: str, region: str, life: Life) -> tuple[Any, ...]:
    return (life.id, source, region, life.worker, life.started_ms, life.alive)


def move_cursors(db: Connection, selection: Selection, *, must: bool = True) -> None:
    """Move the cursors behind what was applied, if they are where *selection* began.

    With *must*, UnavailableError says that one is not.
    """
    counts: Counter[StreamId] = Counter()
    for batch in selection.fresh:
        counts[batch.header.stream] += batch.header.count
    for stream, after in selection.after.items():
        before = selection.before[stream]
        row = (after.seq, after.chain, counts[stream], stream, before.seq, before.chain)
        if db.execute(MOVE_CURSOR, row).rowcount != 1 and must:
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
    return orjson.dumps([stream.hex() for stream in streams]).decode()
