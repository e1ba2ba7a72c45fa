"""The SQL that finds hits.  It only reads, and always out of one snapshot.

Hits that are rolled up are looked for in blocks: those that have postings of the rarest
filter, nearest first, until none that is left can hold a nearer row.  The few hits behind
the last block are always looked at themselves.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import orjson

from aggregator.access.narrowing import Narrowing
from aggregator.asking.budget import Budget
from aggregator.asking.filters import INTEGER_MAX
from aggregator.asking.store import ANY, Condition, Term, resolve
from aggregator.rolling.fields import FROM_HIT, expression
from aggregator.rolling.spans.store import epochs_of_visitors
from aggregator.rolling.store import BLOCK_HITS, BLOCKS_IN_SPAN, place
from aggregator.searching.question import INTEGER_MIN, Place, Want
from milepost.sqlite import Connection

RARE_BLOCKS = 512  # so many are fetched and sorted; of more, one asks each in its turn
SLICE_MIN, SLICE_MAX = 1_024, 8_192  # rows of an index that are walked at once

PLACE = "hit.time_ms, hit.batch, hit.idx"
BATCH = "(SELECT lower(hex(applied.batch)) FROM applied WHERE applied.id = hit.batch)"
# The plus keeps SQLite from another index than the one that was chosen here.
IN_TIME = "+hit.time_ms BETWEEN ? AND ?"
IN_STRETCH = f"""
    SELECT {{columns}} FROM {FROM_HIT}
     WHERE hit.batch BETWEEN ? AND ? AND {IN_TIME} AND {{beyond}} AND {{condition}}
     ORDER BY {{order}} LIMIT ?
"""
BY_TIME = FROM_HIT.replace("hit", "hit INDEXED BY hit_by_time", 1)
SLICE_END = """
    SELECT time_ms, batch, idx FROM hit INDEXED BY hit_by_time
     WHERE time_ms BETWEEN ? AND ? AND {beyond} ORDER BY {order} LIMIT 1 OFFSET ?
"""
IN_SLICE = f"""
    SELECT {PLACE} FROM {BY_TIME}
     WHERE hit.time_ms BETWEEN ? AND ? AND {{beyond}} AND {{until}} AND {{condition}}
     ORDER BY {{order}} LIMIT ?
"""
BY_OWN = FROM_HIT.replace("hit", "hit INDEXED BY hit_by_{field}", 1)
SEEK = f"""
    SELECT {PLACE} FROM {BY_OWN}
     WHERE {{sought}} AND hit.time_ms BETWEEN ? AND ? AND hit.batch <= ?
       AND {{beyond}} AND {{condition}}
     ORDER BY {{order}} LIMIT ?
"""
LISTED = (
    "SELECT DISTINCT block FROM posting WHERE span = ? AND field = ? AND value IN ({marks}) LIMIT ?"
)
LISTED_ANY = """
    SELECT DISTINCT block FROM posting WHERE span = ? AND field = ? AND value >= 0 LIMIT ?
"""
LAST_SPAN = f"SELECT coalesce(max(id), -1) / {BLOCKS_IN_SPAN} FROM block"
HAS_TERM = f"""
    EXISTS (SELECT 1 FROM posting
             WHERE span = block.id / {BLOCKS_IN_SPAN} AND field = ? AND value IN ({{marks}})
               AND posting.block = block.id)
"""
BLOCKS = """
    SELECT block.first_batch, block.last_batch, block.first_ms, block.last_ms FROM {source}
     WHERE block.last_ms >= ? AND block.first_ms <= ? AND {beyond} AND {postings}
     ORDER BY {order}
"""
BLOCK_FROM = "SELECT id, first_batch FROM block WHERE id >= ? ORDER BY id LIMIT 1"
LAST_BLOCK = "SELECT max(id) FROM block"
TAIL_END = "SELECT batch FROM hit WHERE batch >= ? ORDER BY batch, idx LIMIT 1 OFFSET ?"
NEWEST = "SELECT coalesce(max(batch), 0) FROM hit"
AT = f"""
    SELECT {{columns}} FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.batch = asked.value ->> 0 AND hit.idx = asked.value ->> 1
     ORDER BY asked.key
"""
TEXTS = "SELECT id, value FROM text WHERE id IN (SELECT value FROM json_each(?))"


class Stretch(NamedTuple):
    """Batches that stand one after another, and which moments their hits are of at most."""

    first_batch: int
    last_batch: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Found:
    """Rows in the order that was wanted, and whether there may be more behind them.

    The first three columns of a row are its place.
    """

    rows: list[tuple[Any, ...]]
    more: bool
    # Where the budget ended in the order of arrival: what comes before was looked at.
    reached: Place | None = None


def newest_batch(db: Connection) -> int:
    """Return the last batch of which hits are visible."""
    (found,) = db.execute(NEWEST).fetchone()
    return int(found)


def search(db: Connection, want: Want, narrowing: Narrowing, budget: Budget) -> Found:
    """Return the places of the page that is wanted, or refuse if nothing was found in time."""
    condition = resolve(db, want.selection.filters, narrowing)
    if not condition.possible:
        found = Found([], more=False)
    elif condition.seeks:
        found = _page(want, _seek(db, want, condition))
    elif want.by_arrival or condition.terms:
        found = _walk(db, want, condition, budget, PLACE)
        found = replace(found, rows=found.rows[: want.limit])
    else:
        found = _by_time(db, want, condition, budget)
    if found.more and not found.rows:
        raise budget.ended()
    return found


def collect(
    db: Connection, want: Want, narrowing: Narrowing, budget: Budget, names: Iterable[str]
) -> Found:
    """Return whole rows in the order of arrival: at least as many as are wanted, if there are."""
    condition = resolve(db, want.selection.filters, narrowing)
    if not condition.possible:
        return Found([], more=False)
    if condition.seeks:
        found = _page(want, _seek(db, want, condition))
        return replace(found, rows=rows_at(db, found.rows, names))
    return _walk(db, want, condition, budget, _columns(names))


def rows_at(
    db: Connection, places: Iterable[Sequence[Any]], names: Iterable[str]
) -> list[tuple[Any, ...]]:
    """Return the rows at *places*, in that order: their places, and the fields *names*."""
    asked = orjson.dumps([(batch, idx) for _, batch, idx in places]).decode()
    return db.execute(AT.format(columns=_columns(names)), (asked,)).fetchall()


def _columns(names: Iterable[str]) -> str:
    """Return the place of a row, and the fields *names* of it; of the batch its public name."""
    told = (BATCH if name == "batch" else expression(name) for name in names)
    return ", ".join((PLACE, *told))


def texts_of(db: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the texts with *ids*."""
    asked = orjson.dumps([*ids]).decode()
    return dict(db.execute(TEXTS, (asked,)).fetchall())


def _walk(db: Connection, want: Want, condition: Condition, budget: Budget, columns: str) -> Found:
    """Return the nearest rows: stretch after stretch, until no other can hold a nearer one."""
    beyond, after = _beyond(want)
    sql = IN_STRETCH.format(
        columns=columns, beyond=beyond, condition=condition.sql, order=_order(want)
    )
    bounds = (*_moments(want), *after, *condition.values, want.limit + 1)
    rows: list[tuple[Any, ...]] = []
    for stretch in _stretches(db, want, condition):
        if len(rows) > want.limit and _behind(rows[want.limit], stretch, want):
            break
        if not budget.allows(BLOCK_HITS):
            settled = [row for row in rows if _behind(row, stretch, want)]
            return Found(settled, more=True, reached=Place(0, stretch.first_batch, -1))
        last = min(stretch.last_batch, want.upto)
        rows += db.execute(sql, (stretch.first_batch, last, *bounds))
        if not want.by_arrival:
            rows = sorted(rows, key=_place, reverse=want.descending)[: want.limit + 1]
    return Found(rows, more=len(rows) > want.limit)


def _page(want: Want, rows: list[tuple[Any, ...]]) -> Found:
    return Found(rows[: want.limit], more=len(rows) > want.limit)


def _place(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(row[:3])


def _behind(row: Sequence[Any], stretch: Stretch, want: Want) -> bool:
    """Tell whether all of *stretch* comes after *row*."""
    if want.by_arrival:
        return True  # stretches do not overlap in this order
    if want.descending:
        return bool(row[0] > stretch.last_ms)
    return bool(row[0] < stretch.first_ms)


def _moments(want: Want) -> tuple[int, int]:
    """Return the first and the last moment that rows can be of."""
    first, last = want.selection.start_ms, want.selection.end_ms - 1
    if want.after is None or want.by_arrival:
        return first, last
    if want.descending:
        return first, min(last, want.after.time_ms)
    return max(first, want.after.time_ms), last


def _beyond(want: Want, *, plus: str = "+") -> tuple[str, tuple[int, ...]]:
    """Return the condition that a row is beyond the place where the page begins."""
    if want.after is None:
        return "1", ()
    sign = "<" if want.descending else ">"
    if want.by_arrival:
        return f"(hit.batch, hit.idx) {sign} (?, ?)", want.after[1:]
    return f"({plus}hit.time_ms, hit.batch, hit.idx) {sign} (?, ?, ?)", tuple(want.after)


def _order(want: Want) -> str:
    way = " DESC" if want.descending else ""
    columns = ("hit.batch", "hit.idx") if want.by_arrival else PLACE.split(", ")
    return ", ".join(f"{column}{way}" for column in columns)


def _stretches(db: Connection, want: Want, condition: Condition) -> Iterator[Stretch]:
    """Give all stretches that can hold a row, nearest first."""
    upto = place(db)
    if not want.by_arrival:
        yield from _tail(db, upto + 1)
        yield from _blocks(db, want, condition)
        return
    after = want.after.batch if want.after else None
    if not want.descending:
        if after is None or after <= upto:
            yield from _blocks(db, want, condition)
        yield from _until(want.upto, _tail(db, max(upto + 1, after or 0)))
        return
    if after is None or after > upto:
        tail = [*_until(INTEGER_MAX if after is None else after, _tail(db, upto + 1))]
        yield from reversed(tail)
    yield from _blocks(db, want, condition)


def _until(last_batch: int, stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    for stretch in stretches:
        if stretch.first_batch > last_batch:
            return
        yield stretch


def _tail(db: Connection, batch: int) -> Iterator[Stretch]:
    """Give what is in no block, from *batch* on, in pieces of about the size of blocks."""
    while True:
        end = db.execute(TAIL_END, (batch, BLOCK_HITS - 1)).fetchone()
        last = INTEGER_MAX if end is None else end[0]
        yield Stretch(batch, last, INTEGER_MIN, INTEGER_MAX)
        if end is None:
            return
        batch = last + 1


def _blocks(db: Connection, want: Want, condition: Condition) -> Iterator[Stretch]:
    """Give the blocks with postings of every term, nearest first."""
    listed: list[int] | None = None
    for terms in condition.terms:
        found = _listed(db, terms)
        if found is not None and (listed is None or len(found) < len(listed)):
            listed = found
    if listed == []:
        return
    source, order, beyond, values = _block_order(db, want)
    given: tuple[Any, ...] = ()
    if listed is not None:
        source = "json_each(?) AS listed CROSS JOIN block ON block.id = listed.value"
        given = (orjson.dumps(listed).decode(),)
    postings = [_has(terms) for terms in condition.terms if terms[0].value != ANY]
    sql = BLOCKS.format(
        source=source,
        beyond=beyond,
        postings=" AND ".join(text for text, _ in postings) or "1",
        order=order,
    )
    first, last = _moments(want)
    bound = [value for _, each in postings for value in each]
    yield from map(Stretch._make, db.execute(sql, (*given, first, last, *values, *bound)))


def _block_order(db: Connection, want: Want) -> tuple[str, str, str, tuple[int, ...]]:
    """Return source, order, and a condition with its values."""
    if not want.by_arrival:
        if want.descending:
            return "block INDEXED BY block_by_last", "block.last_ms DESC", "1", ()
        return "block INDEXED BY block_by_first", "block.first_ms", "1", ()
    sign, way = ("<=", " DESC") if want.descending else (">=", "")
    if want.after is None:
        return "block NOT INDEXED", f"block.id{way}", "1", ()
    return (
        "block NOT INDEXED",
        f"block.id{way}",
        f"block.id {sign} ?",
        (_block_with(db, want.after.batch),),
    )


def _block_with(db: Connection, batch: int) -> int:
    """Return the last block that begins with *batch* or before it."""
    low, high = 0, db.execute(LAST_BLOCK).fetchone()[0] or 0
    while low < high:
        middle = (low + high + 1) // 2
        number, first = db.execute(BLOCK_FROM, (middle,)).fetchone()
        if first <= batch:
            low = number
        else:
            high = middle - 1
    return int(low)


def _listed(db: Connection, terms: Sequence[Term]) -> list[int] | None:
    """Return the blocks with one of *terms*, or None if they are many."""
    sql, values = LISTED_ANY, tuple(term.value for term in terms)
    if values == (ANY,):
        values = ()
    else:
        sql = LISTED.format(marks=", ".join("?" * len(terms)))
    found: set[int] = set()
    (span,) = db.execute(LAST_SPAN).fetchone()
    while span >= 0:
        rest = RARE_BLOCKS + 1
        row = (span, terms[0].field, *values, rest)
        found.update(block for (block,) in db.execute(sql, row))
        if len(found) > RARE_BLOCKS:
            return None
        span -= 1
    return sorted(found)


def _has(terms: Sequence[Term]) -> tuple[str, tuple[int, ...]]:
    marks = ", ".join("?" * len(terms))
    return HAS_TERM.format(marks=marks), (terms[0].field, *(term.value for term in terms))


def _by_time(db: Connection, want: Want, condition: Condition, budget: Budget) -> Found:
    """Return the nearest rows in the order of time, out of its index, piece by piece."""
    rows: list[tuple[Any, ...]] = []
    size, order = SLICE_MIN, _order(want)
    while True:
        if not budget.allows(size):
            return Found(rows, more=True)
        moments, (beyond, after) = _moments(want), _beyond(want, plus="")
        end = db.execute(
            SLICE_END.format(beyond=beyond, order=order), (*moments, *after, size - 1)
        ).fetchone()
        until = "1" if end is None else f"({PLACE}) {'>=' if want.descending else '<='} (?, ?, ?)"
        sql = IN_SLICE.format(beyond=beyond, until=until, condition=condition.sql, order=order)
        left = want.limit + 1 - len(rows)
        if end is not None:
            want = replace(want, after=Place(*end))
            moments = (end[0], moments[1]) if want.descending else (moments[0], end[0])
        rows += db.execute(sql, (*moments, *after, *(end or ()), *condition.values, left))
        if end is None or len(rows) > want.limit:
            return _page(want, rows)
        size = min(size * 2, SLICE_MAX)


def _seek(db: Connection, want: Want, condition: Condition) -> list[tuple[Any, ...]]:
    """Return the nearest rows out of the index of a field that has one."""
    seek = condition.seeks[0]
    beyond, after = _beyond(want, plus="")
    sought = f"hit.{seek.field} = ?"
    keys: list[tuple[Any, ...]] = [(value,) for value in seek.values]
    if seek.field == "visitor":
        sought = "hit.epoch = ? AND hit.visitor = ?"
        keys = [(epoch, value) for value in seek.values for epoch in epochs_of_visitors(db)]
    sql = SEEK.format(
        field=seek.field, sought=sought, beyond=beyond, condition=condition.sql, order=_order(want)
    )
    bounds = (*_moments(want), want.upto, *after, *condition.values, want.limit + 1)
    first = 1 if want.by_arrival else 0
    rows: list[tuple[Any, ...]] = []
    for key in keys:
        if found := db.execute(sql, (*key, *bounds)).fetchall():
            rows = sorted(rows + found, key=lambda row: row[first:3], reverse=want.descending)
            del rows[want.limit + 1 :]
    return rows
