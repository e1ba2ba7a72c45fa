"""The SQL that keeps rollups, blocks and postings in step with the hits.

Hits become visible in the order of `applied.id`, so what is rolled up to one of these is
rolled for good.  What changes such hits later says so through `before` and `after`, in
its own transaction.
"""

import contextlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from operator import add
from typing import Any, NamedTuple

from aggregator.rolling.cells import HITS, OF_BOTS, WIDTH, Cells, Seen, Who, count, seen_from
from aggregator.rolling.fields import ABSENT, DIMENSIONS, FIELDS, FROM_HIT, MISSING, expressions
from aggregator.rolling.spans.store import (
    ALL,
    SEEN,
    Place,
    are_regular,
    clicks_before,
    past_of,
    places_of,
    put_regular,
    seen_at,
    spans_now,
    spans_upto,
    stored_spans,
    values_of,
)
from aggregator.rolling.tiers import EVERY_EPOCH, TIERS, TOGETHER, bucket_of
from aggregator.rolling.visitors import (
    NO_CLICK,
    Spans,
    count_crowd,
    count_spans,
    joined,
    mixed,
    move,
    spans_of,
)
from milepost.sqlite import Connection

BLOCK_HITS = 1_024
BLOCKS_IN_SPAN = 1_024
REGULAR_CLICKS = 64  # of one visitor in one epoch
NOWHERE = places_of(())

UPTO = "SELECT upto FROM rolled"
# The batch that completes a block behind a place.
BLOCK_END = "SELECT batch FROM hit WHERE batch > ? ORDER BY batch, idx LIMIT 1 OFFSET ?"
SLICE = f"""
    SELECT hit.time_ms, {SEEN}, {expressions(FIELDS)} FROM {FROM_HIT}
     WHERE hit.batch > ? AND hit.batch <= ?
"""
SEEN_AHEAD = f"SELECT {SEEN}, {{values}} FROM {FROM_HIT} WHERE hit.batch > ? LIMIT ?"


PUT_BLOCK = """
    INSERT INTO block (id, first_batch, last_batch, first_ms, last_ms)
    VALUES ((SELECT coalesce(max(id), -1) + 1 FROM block), ?, ?, ?, ?) RETURNING id
"""
PUT_POSTING = "INSERT OR IGNORE INTO posting (span, field, value, block) VALUES (?, ?, ?, ?)"
MOVE = """
    INSERT INTO rolled (one, upto) VALUES (1, ?)
        ON CONFLICT (one) DO UPDATE SET upto = excluded.upto
"""
COUNTED = (
    *("human_hits", "human_clicks", "human_firsts", "human_lasts"),
    *("bot_hits", "bot_clicks", "bot_firsts", "bot_lasts", "any_firsts", "any_lasts"),
)
ADD_CELL = f"""
    INSERT INTO rollup (dimension, tier, bucket_ms, value, epoch, {", ".join(COUNTED)})
    VALUES ({", ".join("?" * (5 + WIDTH))})
        ON CONFLICT (dimension, tier, bucket_ms, value, epoch) DO UPDATE
       SET {", ".join(f"{each} = {each} + excluded.{each}" for each in COUNTED)}
"""
DROP_EMPTY = """
    DELETE FROM rollup
     WHERE dimension = ? AND tier = ? AND bucket_ms = ? AND value = ? AND epoch = ?
       AND human_hits = 0 AND bot_hits = 0
"""
NOTE_SPAN = """
    INSERT INTO epoch_span (epoch, first_ms, last_ms) VALUES (?, ?, ?)
        ON CONFLICT (epoch) DO UPDATE
       SET first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms)
"""


def roll_block(db: Connection, hits: int = BLOCK_HITS) -> int:
    """Roll the next block up if *hits* complete it; return how many it has, or 0."""
    upto = place(db)
    end = db.execute(BLOCK_END, (upto, hits - 1)).fetchone()
    if end is None:
        return 0
    columns = zip(*db.execute(SLICE, (upto, *end)), strict=True)
    times, epochs, hours, visitors, clicks, humans, *fields = columns
    _put_block(db, (upto + 1, end[0], min(times), max(times)), fields)
    values = [[value or 0 for value in fields[at]] for at in _DIMENSION_FIELDS]
    totals = [ABSENT] * len(times)
    _count(db, Seen(epochs, hours, visitors, clicks, humans, [totals, *values]), upto)
    db.execute(MOVE, end)
    return len(times)


def place(db: Connection) -> int:
    """Return up to which batch everything is rolled."""
    found = db.execute(UPTO).fetchone()
    return found[0] if found else 0


_DIMENSION_FIELDS = tuple(FIELDS.index(name) for name in DIMENSIONS[1:])


def _put_block(db: Connection, row: tuple[int, int, int, int], fields: Sequence[Any]) -> None:
    (number,) = db.execute(PUT_BLOCK, row).fetchone()
    span = number // BLOCKS_IN_SPAN
    db.executemany(
        PUT_POSTING,
        (
            (span, field, value, number)
            for field, column in enumerate(fields)
            for value in sorted(MISSING if each is None else each for each in set(column))
        ),
    )


def _count(db: Connection, seen: Seen, upto: int) -> None:
    cells: Cells = {}
    count(cells, seen, ALL)
    clicks = seen.of_visitors()
    found = _count_visitors(db, cells, clicks, upto, ALL)
    add_cells(db, cells)
    _note_spans(db, clicks)
    for who in found.regular:
        put_regular(db, who, found.after[who])
    for who in found.become:
        put_regular(db, who, found.known.get(who, {}) | found.after[who])


class Ahead(NamedTuple):
    """Hits that are not rolled up yet, as cells to be added to the rollups'."""

    cells: Cells
    clicks: Seen  # of visitors
    hits: int


def count_ahead(db: Connection, dimensions: Sequence[int], hits_max: int) -> Ahead | None:
    """Count by *dimensions* what is behind the rollups, or return None if it is too much."""
    upto, sql = place(db), SEEN_AHEAD.format(values=values_of(dimensions))
    rows = db.execute(sql, (upto, hits_max + 1)).fetchall()
    if len(rows) > hits_max:
        return None
    cells: Cells = {}
    seen = seen_from(rows, len(dimensions))
    count(cells, seen, dimensions)
    clicks = seen.of_visitors()
    _count_visitors(db, cells, clicks, upto, dimensions)
    return Ahead(cells, clicks, len(rows))


class _Visitors(NamedTuple):
    regular: set[Who]
    become: set[Who]  # regular, by these clicks
    known: dict[Who, Spans]  # of those and of other special ones, as far as they matter here
    after: dict[Who, Spans]


def _count_visitors(
    db: Connection, cells: Cells, clicks: Seen, upto: int, dimensions: Sequence[int]
) -> _Visitors:
    """Add the visitors of *clicks* to *cells*; what they clicked up to *upto* is counted."""
    regular = are_regular(db, clicks.who())
    others = {*clicks.who()} - regular
    before, past = clicks_before(db, others, upto, dimensions), past_of(db, others)
    times = Counter(before.who()) + Counter(clicks.who())
    become = {who for who, count in times.items() if count > REGULAR_CLICKS} - regular
    slow = regular | become | mixed(before, clicks) | past.keys()
    crowd, few = _apart(clicks, slow)
    crowd_before, few_before = _apart(before, slow)
    count_crowd(cells, crowd, crowd_before, dimensions)
    known = joined(spans_of(few_before, dimensions), past)
    known |= stored_spans(db, regular, spans_of(few, dimensions))
    return _Visitors(regular, become, known, count_spans(cells, few, known, dimensions))


def _apart(seen: Seen, slow: Container[Who]) -> tuple[Seen, Seen]:
    marks = [who in slow for who in seen.who()]
    return seen.only([not mark for mark in marks]), seen.only(marks)


@contextlib.contextmanager
def changing(db: Connection, hits: Iterable[Place], who: Iterable[Who] = ()) -> Iterator[None]:
    """Keep the rollups right while the caller changes or removes *hits*.

    *who* are the visitors that they get, if they get any that they did not have.
    """
    upto = place(db)
    listed = places_of(each for each in hits if each[0] <= upto)
    if listed == NOWHERE:  # what is not rolled yet is read as it is
        yield
        return
    was = seen_at(db, listed, upto)
    clicks = was.of_visitors()
    visitors = {*who, *clicks.who()}
    regular = are_regular(db, visitors)
    before = spans_upto(db, visitors - regular, upto)
    yield
    has = seen_at(db, listed, upto)
    cells: Cells = {}
    count(cells, was, ALL, -1)
    count(cells, has, ALL)
    move(cells, before, spans_upto(db, visitors - regular, upto))
    move_regular(db, cells, regular, (clicks, has.of_visitors()), upto)
    add_cells(db, cells)
    _note_spans(db, has.of_visitors())


def move_regular(
    db: Connection, cells: Cells, regular: Container[Who], clicks: tuple[Seen, Seen], upto: int
) -> None:
    """Count that the *clicks* of who is *regular*, which were the first, are the second now."""
    was, has = (each.only([who in regular for who in each.who()]) for each in clicks)
    touched = joined(spans_of(was, ALL), spans_of(has, ALL))
    stored = stored_spans(db, touched, touched)
    before = {
        who: {key: stored.get(who, {}).get(key, NO_CLICK) for key in spans}
        for who, spans in touched.items()
    }
    after = spans_now(db, before, was, has, upto)
    move(cells, before, after)
    for who, spans in after.items():
        put_regular(db, who, spans)


def add_cells(db: Connection, cells: Cells) -> None:
    """Add *cells* to the rollups of every tier; what counts nothing any more goes."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for (dimension, value, epoch, hour_ms), cell in cells.items():
        for tier in range(len(TIERS)):
            of = EVERY_EPOCH if tier == TOGETHER else epoch
            key = (dimension, tier, bucket_of(tier, hour_ms), value, of)
            found = rows.get(key)
            rows[key] = list(map(add, found, cell)) if found else cell
    changed = {key: row for key, row in rows.items() if any(row)}
    db.executemany(ADD_CELL, ((*key, *row) for key, row in changed.items()))
    fewer = (key for key, row in changed.items() if row[HITS] < 0 or row[OF_BOTS + HITS] < 0)
    db.executemany(DROP_EMPTY, fewer)


def _note_spans(db: Connection, clicks: Seen) -> None:
    spans: dict[int, list[int]] = {}
    for epoch, hour_ms in {*zip(clicks.epochs, clicks.hours, strict=True)}:
        spans.setdefault(epoch, []).append(hour_ms)
    db.executemany(NOTE_SPAN, ((epoch, min(hours), max(hours)) for epoch, hours in spans.items()))
