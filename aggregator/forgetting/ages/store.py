"""The SQL that removes hits by their age, and leaves what was counted of them.

Only hits of blocks go, which are counted.  In the same transaction it is noted since when
there are hits of that kind, and what the sums need to know of visitors who may come again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import orjson

from aggregator.forgetting.store import REMOVE, loosen
from aggregator.limits.store import counted_upto, keep_clicks
from aggregator.rolling.cells import Seen, Who
from aggregator.rolling.spans.store import Place, add_past, names_of, places_of, seen_at
from aggregator.rolling.store import BLOCKS_IN_SPAN, place
from aggregator.rolling.tiers import HOUR_MS
from milepost.sqlite import Connection

PIECE_HITS = 128  # removed at once: some ten milliseconds
PIECE_ROWS = 5_000  # of other tables

TEXT_ID = "SELECT id FROM text WHERE value = ?"
DONE = "SELECT done_ms, done_upto FROM retained WHERE kind = ?"
NEXT_BLOCK = """
    SELECT id, first_batch, last_batch FROM block
     WHERE id > ? AND first_ms < ? AND last_batch <= ? AND (last_ms >= ? OR first_batch > ?)
     ORDER BY id LIMIT 1
"""
OLD = """
    SELECT batch, idx FROM hit
     WHERE batch BETWEEN ? AND ? AND +kind = ? AND +time_ms < ? LIMIT ?
"""
SINCE = """
    INSERT INTO retained (kind, since_ms, done_ms, done_upto) VALUES (?, ?, 0, 0)
        ON CONFLICT (kind) DO UPDATE SET since_ms = max(since_ms, excluded.since_ms)
"""
FINISH = """
    INSERT INTO retained (kind, since_ms, done_ms, done_upto)
    VALUES (?1, 0, ?2, (SELECT coalesce(max(last_batch), 0) FROM block WHERE last_batch <= ?3))
        ON CONFLICT (kind) DO UPDATE
       SET done_ms = excluded.done_ms, done_upto = excluded.done_upto
"""
OLDEST_IN = "SELECT min(time_ms) FROM hit WHERE batch BETWEEN ? AND ?"
DROP_BLOCK = "DELETE FROM block WHERE id = ?"
SHRINK_BLOCK = "UPDATE block SET first_ms = ? WHERE id = ? AND first_ms < ?"
EMPTY_SPANS = """
    WITH RECURSIVE known (span) AS (
        SELECT min(span) FROM posting
         UNION ALL
        SELECT (SELECT min(posting.span) FROM posting WHERE posting.span > known.span)
          FROM known WHERE known.span IS NOT NULL
    )
    SELECT span FROM known
     WHERE span IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM block WHERE id BETWEEN span * ?1 AND span * ?1 + ?1 - 1)
"""
DROP_POSTINGS = """
    DELETE FROM posting WHERE (span, field, value, block) IN
        (SELECT span, field, value, block FROM posting WHERE span = ? LIMIT ?)
"""
CLOSED = "SELECT epoch FROM epoch_span WHERE last_ms < ?"
STILL_HERE = """
    SELECT asked.value ->> 0, unhex(asked.value ->> 1) FROM json_each(?) AS asked
     WHERE EXISTS (SELECT 1 FROM hit WHERE hit.epoch = asked.value ->> 0
                      AND hit.visitor = unhex(asked.value ->> 1))
"""
DROP_OF_VISITOR = tuple(
    f"""
    DELETE FROM {table} WHERE (epoch, visitor) IN
        (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?))
    """
    for table in ("past", "regular")
)
DROP_OF_EPOCHS = tuple(
    f"""
    DELETE FROM {table} WHERE (epoch, visitor, dimension, value) IN (
        SELECT kept.epoch, kept.visitor, kept.dimension, kept.value
          FROM json_each(?) AS closed CROSS JOIN {table} AS kept
         WHERE kept.epoch = closed.value
           AND NOT EXISTS (SELECT 1 FROM hit WHERE hit.epoch = kept.epoch
                              AND hit.visitor = kept.visitor)
         LIMIT ?)
    """
    for table in ("past", "regular")
)
COUNT_OLD = """
    SELECT count(*) FROM hit
     WHERE time_ms < ? AND +kind = (SELECT id FROM text WHERE value = ?)
"""
HORIZONS = "SELECT kind, since_ms FROM retained WHERE since_ms > 0"

BEGINNING = -1  # the cursor before the first block


class Expired(NamedTuple):
    """What one transaction did, and where the next begins; None: there is nothing left."""

    removed: int
    cursor: int | None


def expire(
    db: Connection, kind: str, horizon_ms: int, cursor: int, *, closed_ms: int, counts: bool
) -> Expired:
    """Remove some hits of *kind* from before a horizon, behind the block *cursor*.

    Of visitors who have nothing else nothing is kept if their epoch ended before *closed_ms*.
    """
    found = db.execute(TEXT_ID, (kind,)).fetchone()
    if found is None:
        return Expired(0, None)
    end, limit = place(db), counted_upto(db) if counts else None
    end = end if limit is None else min(end, limit)
    done_ms, done_upto = db.execute(DONE, (kind,)).fetchone() or (0, 0)
    asked = (cursor, horizon_ms, end, done_ms, done_upto)
    block = db.execute(NEXT_BLOCK, asked).fetchone()
    if block is None:
        db.execute(FINISH, (kind, horizon_ms, end))
        return Expired(0, None)
    number, first, last = block
    places = db.execute(OLD, (first, last, found[0], horizon_ms, PIECE_HITS)).fetchall()
    if places:
        db.execute(SINCE, (kind, horizon_ms))
        _expire(db, places, closed_ms)
    if len(places) == PIECE_HITS:
        return Expired(len(places), number - 1)
    _shrink(db, number, first, last)
    return Expired(len(places), number)


def _expire(db: Connection, places: Sequence[Place], closed_ms: int) -> None:
    listed = places_of(places)
    clicks = seen_at(db, listed, place(db)).of_visitors()
    loosen(db, places)
    keep_clicks(db, listed)
    db.executemany(REMOVE, places)
    gone = _gone(db, clicks, closed_ms)
    add_past(db, clicks.only([who not in gone for who in clicks.who()]))
    for sql in DROP_OF_VISITOR:
        db.execute(sql, (names_of(gone),))


def _gone(db: Connection, clicks: Seen, closed_ms: int) -> set[Who]:
    """Return those who have no hit any more, of epochs that are over and as old."""
    closed = {row[0] for row in db.execute(CLOSED, (closed_ms - HOUR_MS + 1,))}
    asked = {who for who in clicks.who() if who[0] in closed}
    return asked - {*db.execute(STILL_HERE, (names_of(asked),))}


def _shrink(db: Connection, number: int, first: int, last: int) -> None:
    """Remove a block that has no hits any more, or note what its oldest is."""
    (oldest_ms,) = db.execute(OLDEST_IN, (first, last)).fetchone()
    if oldest_ms is None:
        db.execute(DROP_BLOCK, (number,))
    else:
        db.execute(SHRINK_BLOCK, (oldest_ms, number, oldest_ms))


def tidy(db: Connection, closed_ms: int) -> bool:
    """Remove some postings of blocks that are gone, and some spans; tell whether any were."""
    for (span,) in db.execute(EMPTY_SPANS, (BLOCKS_IN_SPAN,)).fetchall():
        db.execute(DROP_POSTINGS, (span, PIECE_ROWS))
        return True
    closed = [row[0] for row in db.execute(CLOSED, (closed_ms - HOUR_MS + 1,))]
    listed = orjson.dumps(closed).decode()
    return any(db.execute(sql, (listed, PIECE_ROWS)).rowcount for sql in DROP_OF_EPOCHS)


def count_old(db: Connection, horizons: Mapping[str, int]) -> dict[str, int]:
    """Return how many hits of each kind there are from before its horizon."""
    return {
        kind: int(db.execute(COUNT_OLD, (horizon_ms, kind)).fetchone()[0])
        for kind, horizon_ms in horizons.items()
    }


def horizon(db: Connection, kinds: Collection[str] | None = None) -> int | None:
    """Return since when all hits of *kinds*, or of all, are there; None: none went."""
    found: Iterable[tuple[str, int]] = db.execute(HORIZONS)
    since = [since_ms for kind, since_ms in found if kinds is None or kind in kinds]
    return max(since, default=None)
