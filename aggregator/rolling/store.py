"""The SQL that keeps rollups, blocks and postings in step with the hits.

Hits become visible in the order of `applied.id`, so what is rolled up to one of these is
rolled for good.  What changes such hits later says so through `before` and `after`, in
its own transaction.
"""

import contextlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from operator import add
from typing import Any

import orjson

from aggregator.rolling.cells import HITS, OF_BOTS, WIDTH, Cells, Seen, Who, count, seen_from
from aggregator.rolling.fields import (
    ABSENT,
    CLICK,
    DIMENSIONS,
    FIELDS,
    FROM_HIT,
    HUMAN,
    MISSING,
    expression,
    expressions,
)
from aggregator.rolling.tiers import HOUR_MS, TIERS, bucket_of
from aggregator.rolling.visitors import (
    Span,
    Spans,
    count_crowd,
    count_spans,
    mixed,
    move,
    spans_of,
)
from milepost.sqlite import Connection

BLOCK_HITS = 1_024
BLOCKS_IN_SPAN = 1_024
REGULAR_CLICKS = 64  # of one visitor in one epoch

ALL = tuple(range(len(DIMENSIONS)))

Place = tuple[int, int]  # of a hit: its batch, as applied.id, and its place in that

UPTO = "SELECT upto FROM rolled"
# The batch that completes a block behind a place.
BLOCK_END = "SELECT batch FROM hit WHERE batch > ? ORDER BY batch, idx LIMIT 1 OFFSET ?"
HOUR = f"hit.time_ms - hit.time_ms % {HOUR_MS}"
SEEN = f"hit.epoch, {HOUR}, hit.visitor, {CLICK}, {HUMAN}"
SLICE = f"""
    SELECT hit.time_ms, {SEEN}, {expressions(FIELDS)} FROM {FROM_HIT}
     WHERE hit.batch > ? AND hit.batch <= ?
"""
# The join stays as it is written: from the few visitors to their clicks.
CLICKS_OF = f"""
    SELECT {SEEN}, {{values}}
      FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.epoch = asked.value ->> 0 AND hit.visitor = unhex(asked.value ->> 1)
       AND hit.batch <= ? AND {CLICK}
"""
VALUES = ", ".join(f"coalesce({expression(name)}, 0)" for name in DIMENSIONS)
CLICKS_OF_ALL = CLICKS_OF.format(values=VALUES)
SEEN_AT = f"""
    SELECT {SEEN}, {VALUES}
      FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.batch = asked.value ->> 0 AND hit.idx = asked.value ->> 1 AND hit.batch <= ?
"""
ARE_REGULAR = """
    SELECT regular.epoch, regular.visitor
      FROM json_each(?) AS asked CROSS JOIN regular
     WHERE regular.epoch = asked.value ->> 0 AND regular.visitor = unhex(asked.value ->> 1)
       AND regular.dimension = 0 AND regular.value = 0
"""
SPANS_OF = """
    SELECT epoch, visitor, dimension, regular.value,
           human_first, human_last, bot_first, bot_last
      FROM json_each(?) AS asked CROSS JOIN regular
     WHERE epoch = asked.value ->> 0 AND visitor = unhex(asked.value ->> 1)
       AND dimension = asked.value ->> 2 AND regular.value = asked.value ->> 3
"""

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
PUT_REGULAR = f"INSERT OR REPLACE INTO regular VALUES ({', '.join('?' * 8)})"
DROP_REGULAR = "DELETE FROM regular WHERE epoch = ? AND visitor = ?"


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
    regular = {*db.execute(ARE_REGULAR, (names_of(clicks.who()),))}
    before = _clicks_before(db, {*clicks.who()} - regular, upto)
    times = Counter(before.who()) + Counter(clicks.who())
    become = {who for who, count in times.items() if count > REGULAR_CLICKS} - regular
    slow = regular | become | mixed(before, clicks)
    crowd, few = _apart(clicks, slow)
    crowd_before, few_before = _apart(before, slow)
    count_crowd(cells, crowd, crowd_before, ALL)
    known = spans_of(few_before, ALL)
    touched = keys_of(spans_of(few, ALL), regular)
    for who, key, span in map(_span, db.execute(SPANS_OF, (touched,))):
        known.setdefault(who, {})[key] = span
    after = count_spans(cells, few, known, ALL)
    _add_cells(db, cells)
    _note_spans(db, clicks)
    for who in regular:
        _put_regular(db, who, after[who])
    for who in become:
        _put_regular(db, who, known.get(who, {}) | after[who])


def _apart(seen: Seen, slow: Container[Who]) -> tuple[Seen, Seen]:
    marks = [who in slow for who in seen.who()]
    return seen.only([not mark for mark in marks]), seen.only(marks)


@contextlib.contextmanager
def changing(db: Connection, hits: Iterable[Place], who: Iterable[Who] = ()) -> Iterator[None]:
    """Keep the rollups right while the caller changes or removes *hits*.

    *who* are the visitors that they get, if they get any that they did not have.
    """
    upto = place(db)
    listed = orjson.dumps([each for each in hits if each[0] <= upto]).decode()
    if listed == "[]":  # what is not rolled yet is read as it is
        yield
        return
    was = _seen_at(db, listed, upto)
    visitors = {*who, *was.of_visitors().who()}
    before = spans_of(_clicks_before(db, visitors, upto), ALL)
    yield
    has = _seen_at(db, listed, upto)
    cells: Cells = {}
    count(cells, was, ALL, -1)
    count(cells, has, ALL)
    after = spans_of(_clicks_before(db, visitors, upto), ALL)
    move(cells, before, after)
    _add_cells(db, cells)
    _note_spans(db, has.of_visitors())
    for each in db.execute(ARE_REGULAR, (names_of(visitors),)).fetchall():
        db.execute(DROP_REGULAR, each)
        _put_regular(db, each, after.get(each, {}))


def names_of(visitors: Iterable[Who]) -> str:
    """Write *visitors*, each once, so that one bound value holds them all."""
    return orjson.dumps([(epoch, visitor.hex()) for epoch, visitor in {*visitors}]).decode()


def keys_of(touched: Mapping[Who, Spans], regular: Iterable[Who]) -> str:
    """Write what is *touched* of those who are *regular*, for SPANS_OF."""
    return orjson.dumps(
        [(who[0], who[1].hex(), *key) for who in regular for key in touched[who]]
    ).decode()


def _seen_at(db: Connection, listed: str, upto: int) -> Seen:
    return seen_from(db.execute(SEEN_AT, (listed, upto)), len(ALL))


def _clicks_before(db: Connection, who: Iterable[Who], upto: int) -> Seen:
    return seen_from(db.execute(CLICKS_OF_ALL, (names_of(who), upto)), len(ALL))


def _span(row: Sequence[Any]) -> tuple[Who, tuple[int, int], Span]:
    epoch, visitor, dimension, value, *span = row
    return (epoch, visitor), (dimension, value), Span(*span)


def _add_cells(db: Connection, cells: Cells) -> None:
    """Add *cells* to the rollups of every tier; what counts nothing any more goes."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for (dimension, value, epoch, hour_ms), cell in cells.items():
        for tier in range(len(TIERS)):
            key = (dimension, tier, bucket_of(tier, hour_ms), value, epoch)
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


def _put_regular(db: Connection, who: Who, spans: Spans) -> None:
    db.executemany(PUT_REGULAR, ((*who, *key, *span) for key, span in spans.items()))
