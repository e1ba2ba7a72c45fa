"""The SQL that counts out of the rows.

Rows are read block by block, which costs a fraction of finding them one by one; the blocks
that can have some are told by their times and by the postings.  What is behind the last block
is read like one more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aggregator.asking.filters import INTEGER_MAX, Filter
from aggregator.asking.store import ANY, Condition, Term
from aggregator.forgetting.ages.store import horizon
from aggregator.rolling.fields import (
    ABSENT,
    CLICK,
    FIELD_NUMBERS,
    FROM_HIT,
    HUMAN,
    MISSING,
    TOTAL,
    expression,
)
from aggregator.rolling.spans.store import epochs_of_visitors
from aggregator.rolling.store import BLOCK_HITS, BLOCKS_IN_SPAN, place
from aggregator.rolling.tiers import HOUR_MS
from aggregator.stats.planning import WHOLE, listed, runs, slots
from aggregator.stats.question import Question
from aggregator.stats.sums import Group, Inside
from milepost.errors import TooBroadError
from milepost.sqlite import Connection

BOTS = {"exclude": HUMAN, "only": f"{HUMAN} IS NOT TRUE", "include": "1"}

LAST_BLOCK = "SELECT coalesce(max(id), -1) FROM block"
BLOCKS = """
    SELECT DISTINCT block.first_batch, block.last_batch
      FROM json_each(?) AS asked CROSS JOIN block
     WHERE block.last_ms >= asked.value ->> 0 AND block.first_ms < asked.value ->> 1 {having}
     ORDER BY block.first_batch
"""
HAVING = """
    AND block.id IN (
        SELECT posting.block
          FROM json_each(?) AS span CROSS JOIN json_each(?) AS term CROSS JOIN posting
         WHERE posting.span = span.value AND posting.field = term.value ->> 0
           AND posting.value BETWEEN term.value ->> 1 AND term.value ->> 2
    )
"""
AHEAD = "SELECT count(*) FROM (SELECT 1 FROM hit WHERE batch > ? LIMIT ?)"

IN_BATCHES = "hit.batch BETWEEN sought.value ->> 0 AND sought.value ->> 1"
OF_VISITORS = "hit.epoch = sought.value ->> 0 AND hit.visitor = unhex(sought.value ->> 1)"
WITH_TEXT = "hit.{} = sought.value"

SEEN = f"""
    WITH slot (number, bucket) AS MATERIALIZED (
        SELECT value ->> 0, value ->> 1 FROM json_each(?)
    ),
    seen AS MATERIALIZED (
        SELECT {{bucket}} AS bucket, {{one}} AS one, {{two}} AS two, hit.epoch AS epoch,
               {CLICK} AS click, iif({CLICK}, hit.visitor, NULL) AS visitor
          FROM json_each(?) AS sought CROSS JOIN {FROM_HIT} {{join}}
         WHERE {{where}} AND hit.time_ms >= ? AND hit.time_ms < ? AND {{bots}} AND ({{condition}})
    )
"""
COUNTS = "count(*), coalesce(sum(click), 0), count(DISTINCT visitor)"
EPOCHS_OF = "count(DISTINCT epoch)"
ALL_TOGETHER = f"SELECT 'total', {WHOLE}, 0, 0, {COUNTS}, {EPOCHS_OF} FROM seen"
BY_GROUP = f"SELECT 'group', {WHOLE}, one, two, {COUNTS}, 0 FROM seen GROUP BY one, two"
BY_BUCKET = f"SELECT 'total', bucket, 0, 0, {COUNTS}, 0 FROM seen GROUP BY bucket"
BY_BOTH = f"""
    SELECT 'group', bucket, one, two, {COUNTS}, 0 FROM seen
     WHERE (one, two) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
     GROUP BY bucket, one, two
"""
ON_SLOT = "CROSS JOIN slot ON slot.number = hit.time_ms / ?"

COUNT_INSIDE = f"""
    WITH slot (bucket, epoch, number) AS MATERIALIZED (
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
    )
    SELECT slot.bucket, {{value}}, count(DISTINCT hit.visitor)
      FROM json_each(?) AS sought CROSS JOIN {FROM_HIT}
           CROSS JOIN slot ON slot.number = hit.time_ms / {HOUR_MS} AND slot.epoch = hit.epoch
     WHERE {IN_BATCHES} AND hit.visitor IS NOT NULL AND {CLICK} AND {{bots}}
       AND {{value}} IN (SELECT value FROM json_each(?))
     GROUP BY 1, 2
"""


class Counts(NamedTuple):
    """What the rows of a bucket, and of a group, come to."""

    of: str  # "total" or "group"
    bucket: int
    group: Group
    hits: int
    clicks: int
    uniques: int
    epochs: int  # of all together; else 0


class Sought(NamedTuple):
    """How rows are come by."""

    where: str
    listed: str


def rows_since(db: Connection, filters: Iterable[Filter] = ()) -> int | None:
    """Return since when all rows are there of the kinds that *filters* let through.

    None: none of them went by their age.
    """
    kinds = {
        str(value)
        for each in filters
        if each.field == "kind" and not (each.negated or each.prefix)
        for value in each.values
    }
    since_ms = horizon(db, kinds or None)
    return None if since_ms is None else since_ms + -since_ms % HOUR_MS


def seek(db: Connection, question: Question, condition: Condition, rows_max: int) -> Sought:
    """Return how to come by the rows that *question* counts, or refuse."""
    for field, values in condition.seeks:
        if field == "visitor":
            epochs = epochs_of_visitors(db)
            hashes = [value.hex() for value in values if isinstance(value, bytes)]
            return Sought(OF_VISITORS, listed((epoch, each) for epoch in epochs for each in hashes))
        return Sought(WITH_TEXT.format(field), listed(values))
    ranges = [(question.start_ms, question.end_ms)]
    return Sought(IN_BATCHES, listed(_batches(db, ranges, condition.terms, rows_max)))


def count_rows(
    db: Connection,
    question: Question,
    condition: Condition,
    sought: Sought,
    chosen: Collection[Group] | None = None,
) -> Iterator[Counts]:
    """Count the totals, the buckets of a series, and the groups; or of groups *chosen* the buckets.

    Groups that are *chosen* are counted in each bucket, and nothing else is.
    """
    size_ms, buckets = slots(question) if question.starts else (1, ())
    one, two = [*(f"coalesce({expression(name)}, 0)" for name in question.group_by), "0", "0"][:2]
    levels = [BY_BOTH]
    if chosen is None:
        levels = [ALL_TOGETHER, *([BY_BUCKET] if buckets else [])]
        levels += [BY_GROUP] if question.group_by else []
    sql = SEEN.format(
        bucket="slot.bucket" if buckets else WHOLE,
        one=one,
        two=two,
        join=ON_SLOT if buckets else "",
        where=sought.where,
        bots=BOTS[question.bots],
        condition=condition.sql,
    )
    values: list[Any] = [listed(buckets), sought.listed, *([size_ms] if buckets else [])]
    values += [question.start_ms, question.end_ms, *condition.values]
    if chosen is not None:
        values.append(listed((*group, 0)[:2] for group in chosen))
    width = len(question.group_by)
    for of, bucket, first, second, *counts in db.execute(
        f"{sql} {' UNION ALL '.join(levels)}", values
    ):
        group = (first, second)[:width] if of == "group" else ()
        yield Counts(of, bucket, group, *counts)


def count_inside(
    db: Connection,
    hours: Collection[Inside],
    dimension: str,
    values: Collection[int],
    *,
    bots: str,
    rows_max: int,
) -> Iterator[tuple[int, int, int]]:
    """Count the visitors of *hours*: give bucket, value of *dimension*, and how many."""
    value = f"coalesce({expression(dimension)}, 0)"
    terms = []
    if dimension != TOTAL:
        field = FIELD_NUMBERS[dimension]
        terms.append([Term(field, MISSING if each == ABSENT else each) for each in values])
    parts = _batches(db, runs(each.hour_ms for each in hours), terms, rows_max)
    slot = listed((each.bucket, each.epoch, each.hour_ms // HOUR_MS) for each in hours)
    sql = COUNT_INSIDE.format(value=value, bots=BOTS[bots])
    return iter(db.execute(sql, (slot, listed(parts), listed(values))))


def _batches(
    db: Connection,
    ranges: Sequence[tuple[int, int]],
    terms: Iterable[Sequence[Term]],
    rows_max: int,
) -> list[tuple[int, int]]:
    """Return from which to which batch there can be rows of *ranges* with *terms*, or refuse."""
    needed = list(terms)
    (last,) = db.execute(LAST_BLOCK).fetchone()
    numbers = listed(range(last // BLOCKS_IN_SPAN + 1))
    having = [value for each in needed for value in (numbers, listed(map(_bounds, each)))]
    sql = BLOCKS.format(having=HAVING * len(needed))
    found = db.execute(sql, (listed(ranges), *having)).fetchall()
    upto = place(db)
    (ahead,) = db.execute(AHEAD, (upto, rows_max + 1)).fetchone()
    if len(found) * BLOCK_HITS + ahead > rows_max:
        msg = (
            f"more than {rows_max} rows would have to be read: ask for a shorter range, for a "
            "rarer value, or for what is rolled up: no filter or one, by one dimension, by the "
            "day or longer, or with uniques=false by the hour"
        )
        raise TooBroadError(msg)
    return [*_joined(found), (upto + 1, INTEGER_MAX)]


def _bounds(term: Term) -> tuple[int, int, int]:
    low, high = (0, INTEGER_MAX) if term.value == ANY else (term.value, term.value)
    return term.field, low, high


def _joined(parts: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in parts:
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found
