"""The SQL that counts out of the rollups, and adds what is ahead of them.

Of an epoch that goes on before and after a bucket the rollups do not tell the visitors:
these are counted out of the rows of the hours in which it has clicks there.
"""

from collections.abc import Collection, Iterable, Sequence

from aggregator.asking.filters import Value
from aggregator.query.params import rfc3339
from aggregator.rolling.fields import (
    ABSENT,
    DIMENSION_NUMBERS,
    NUMBERS,
    TOTAL,
)
from aggregator.rolling.store import COUNTED, count_ahead
from aggregator.rolling.tiers import TIERS, TOGETHER, cover
from aggregator.stats.planning import FromRollups, Span, listed, parted, pieces
from aggregator.stats.question import Question
from aggregator.stats.rows.store import count_inside
from aggregator.stats.sums import (
    COUNTED_OF,
    Hours,
    Inside,
    Sums,
    add,
    add_cells,
    hours_of,
    inside,
)
from milepost.errors import TooBroadError
from milepost.sqlite import Connection

AHEAD_MAX = 50_000

TEXT_ID = "SELECT id FROM text WHERE value = ?"
HOURS_OF = """
    SELECT epoch, first_ms, last_ms FROM epoch_span
     WHERE epoch IN (SELECT value FROM json_each(?))
"""
# The hours of epochs as `late` tells them, which knows more, and else as they are stored.
LATE = """
    late (epoch, first_ms, last_ms) AS MATERIALIZED (
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
    )
"""
FIRST_MS, LAST_MS = (
    f"coalesce((SELECT late.{name} FROM late WHERE late.epoch = rollup.epoch), span.{name})"
    for name in ("first_ms", "last_ms")
)
MATCH = """
    rollup.dimension = (SELECT number FROM asked) AND rollup.tier = piece.tier
       AND rollup.bucket_ms = piece.at_ms {only}
"""
PIECES = f"""
    WITH {LATE},
    piece (bucket, start_ms, end_ms, tier, at_ms, straddled, sign) AS MATERIALIZED (
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
               value ->> 6
          FROM json_each(?)
    ),
    asked (number, only) AS MATERIALIZED (SELECT ?, ?)
"""
# Most pieces hold only epochs that began in the bucket of the answer: these cost least.
PLAIN = f"""
    SELECT piece.bucket AS bucket, rollup.value AS value, sum(sign * ({{hits}})) AS hits,
           sum(sign * ({{clicks}})) AS clicks, sum(sign * rollup.{{firsts}}) AS uniques
      FROM piece CROSS JOIN rollup WHERE NOT piece.straddled AND {MATCH}
     GROUP BY piece.bucket, rollup.value
"""
STRADDLING = f"""
    SELECT piece.bucket AS bucket, rollup.value AS value, sum(sign * ({{hits}})) AS hits,
           sum(sign * ({{clicks}})) AS clicks,
           sum(sign * CASE WHEN {FIRST_MS} >= piece.start_ms THEN {{firsts}}
                           WHEN {LAST_MS} < piece.end_ms THEN {{lasts}} ELSE 0 END) AS uniques
      FROM piece CROSS JOIN rollup LEFT JOIN epoch_span AS span ON span.epoch = rollup.epoch
     WHERE piece.straddled AND {MATCH}
     GROUP BY piece.bucket, rollup.value
"""
BOTH = f"""
    SELECT bucket, value, sum(hits) AS hits, sum(clicks) AS clicks, sum(uniques) AS uniques
      FROM ({PLAIN} UNION ALL {STRADDLING}) GROUP BY bucket, value
"""
ONLY = "AND rollup.value IN (SELECT value FROM json_each((SELECT only FROM asked)))"
SUMS = f"{PIECES} {BOTH}"
# Those with most clicks, with ties, and some others; and in the last row, how many there are.
TOP = f"""
    {PIECES},
    grouped AS MATERIALIZED ({{groups}}),
    most AS MATERIALIZED (SELECT clicks FROM grouped ORDER BY clicks DESC LIMIT ?)
    SELECT value, hits, clicks, uniques FROM grouped
     WHERE clicks >= (SELECT min(clicks) FROM most)
        OR value IN (SELECT value FROM json_each((SELECT only FROM asked)))
     UNION ALL
    SELECT NULL, count(*) FILTER (WHERE hits > 0), 0, 0 FROM grouped
"""
INSIDE = f"""
    WITH {LATE},
    asked (bucket, start_ms, end_ms) AS MATERIALIZED (
        SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)
    )
    SELECT asked.bucket, rollup.epoch, rollup.bucket_ms
      FROM asked CROSS JOIN rollup JOIN epoch_span AS span ON span.epoch = rollup.epoch
     WHERE rollup.dimension = {DIMENSION_NUMBERS[TOTAL]} AND rollup.tier = 0
       AND rollup.bucket_ms >= asked.start_ms AND rollup.bucket_ms < asked.end_ms
       AND {{clicks}} > 0 AND {FIRST_MS} < asked.start_ms AND {LAST_MS} >= asked.end_ms
"""
STRADDLED = f"""
    WITH {LATE}
    SELECT DISTINCT piece.value ->> 0, piece.value ->> 3, piece.value ->> 4
      FROM json_each(?) AS piece CROSS JOIN rollup JOIN epoch_span AS span USING (epoch)
     WHERE rollup.dimension = {DIMENSION_NUMBERS[TOTAL]}
       AND rollup.tier = min(piece.value ->> 3, {TOGETHER - 1})
       AND rollup.bucket_ms >= piece.value ->> 4
       AND rollup.bucket_ms < (piece.value ->> 4) + (piece.value ->> 7)
       AND {FIRST_MS} < piece.value ->> 1
"""
EPOCHS = """
    SELECT DISTINCT rollup.epoch
      FROM json_each(?) AS piece CROSS JOIN rollup
     WHERE rollup.dimension = ? AND rollup.tier = piece.value ->> 3
       AND rollup.bucket_ms = piece.value ->> 4 AND rollup.value = ? AND {hits} > 0
"""


class Rollups:
    """The rollups and what is ahead of them, as one question needs them."""

    def __init__(
        self,
        db: Connection,
        question: Question,
        plan: FromRollups,
        rows_max: int,
        since_ms: int | None,
    ) -> None:
        """Count what is ahead, or refuse.  Rows are there since *since_ms* if some are gone."""
        self._db, self._bots, self._uniques = db, question.bots, question.uniques
        self._rows_max, self._since_ms = rows_max, since_ms
        self._counted = COUNTED_OF[question.bots]
        self._names = {
            "hits": _sum(self._counted.hits),
            "clicks": _sum(self._counted.clicks),
            "firsts": COUNTED[self._counted.firsts],
            "lasts": COUNTED[self._counted.lasts],
        }
        dimensions = {plan.dimension, *filter(None, [plan.group])}
        ahead = count_ahead(db, sorted(DIMENSION_NUMBERS[name] for name in dimensions), AHEAD_MAX)
        if ahead is None:
            msg = (
                f"more than {AHEAD_MAX} hits have come that are not rolled up yet: "
                "ask again in a while, or for what the rows of a short range tell"
            )
            raise TooBroadError(msg)
        self._ahead = ahead
        told = listed({*ahead.clicks.epochs})
        known = {epoch: Hours(*rest) for epoch, *rest in db.execute(HOURS_OF, (told,))}
        self._epochs = hours_of(ahead.clicks, known)
        self._late = listed([(epoch, *hours) for epoch, hours in self._epochs.items()])

    def sums(self, dimension: str, values: Collection[int], spans: Sequence[Span]) -> Sums:
        """Count each of *spans* by *dimension*, of which only *values* matter."""
        sql = SUMS.format(**self._names, only=ONLY)
        asked, _ = self._asked(dimension, values, spans)
        rows = self._db.execute(sql, asked)
        found: Sums = {(bucket, (value,)): counts for bucket, value, *counts in rows}
        self._complete(found, dimension, values, spans)
        return found

    def top(self, dimension: str, span: Span, limit: int) -> tuple[Sums, int]:
        """Count *span* by *dimension*: return at least the *limit* with most clicks.

        And how many groups there are.
        """
        number, hits = DIMENSION_NUMBERS[dimension], self._counted.hits
        ahead = {
            key.value
            for key, cell in self._ahead.cells.items()
            if key.dimension == number and span.start_ms <= key.hour_ms < span.end_ms
            if any(cell[at] for at in hits)
        }
        asked, straddled = self._asked(dimension, ahead, [span])
        groups = (BOTH if straddled else PLAIN).format(**self._names, only="")
        rows_of = self._db.execute(TOP.format(groups=groups), [*asked, limit])
        *rows, (_, count, _, _) = rows_of.fetchall()
        found: Sums = {(span.bucket, (value,)): counts for value, *counts in rows}
        had = {value for value, hits, *_ in rows if hits}
        self._complete(found, dimension, {value for value, *_ in rows} | ahead, [span])
        return found, count + len(ahead - had)

    def _asked(
        self, dimension: str, values: Collection[int], spans: Sequence[Span]
    ) -> tuple[list[str | int], bool]:
        """Return what to bind, and whether some pieces are straddled."""
        whole = list(pieces(spans))
        sized = listed((*each, TIERS[each.tier]) for each in whole)
        straddled = {*self._db.execute(STRADDLED, (self._late, sized))}
        told = listed(parted(whole, straddled))
        asked: list[str | int] = [self._late, told, DIMENSION_NUMBERS[dimension], listed(values)]
        return asked, bool(straddled)

    def _complete(
        self, found: Sums, dimension: str, values: Collection[int], spans: Sequence[Span]
    ) -> None:
        """Add what is ahead, and the visitors that only the rows tell."""
        add_cells(
            found,
            self._ahead.cells,
            self._epochs,
            self._counted,
            dimension=DIMENSION_NUMBERS[dimension],
            values=values,
            spans=spans,
        )
        if self._uniques and (hours := self._inside(spans)):
            for bucket, value, uniques in count_inside(
                self._db, hours, dimension, values, bots=self._bots, rows_max=self._rows_max
            ):
                add(found, (bucket, (value,)), (0, 0, uniques))

    def epochs(self, dimension: str, value: int, span: Span) -> int:
        """Return how many epochs there are of which hits are in *span*."""
        number = DIMENSION_NUMBERS[dimension]
        sql = EPOCHS.format(**self._names)
        whole = list(pieces([span], cover))
        days = {each.place for each in whole if each.tier == TOGETHER}
        asked = (listed(parted(whole, days)), number, value)
        found = {row[0] for row in self._db.execute(sql, asked)}
        return len(
            found
            | {
                key.epoch
                for key, cell in self._ahead.cells.items()
                if (key.dimension, key.value) == (number, value)
                and span.start_ms <= key.hour_ms < span.end_ms
                and any(cell[at] for at in self._counted.hits)
            }
        )

    def _inside(self, spans: Sequence[Span]) -> set[Inside]:
        sql = INSIDE.format(**self._names)
        rows = self._db.execute(sql, (self._late, listed(spans)))
        hours = {Inside(*row) for row in rows} | inside(self._ahead.clicks, self._epochs, spans)
        oldest_ms = min((each.hour_ms for each in hours), default=0)
        if hours and self._since_ms is not None and oldest_ms < self._since_ms:
            msg = (
                f"start: the rows before {rfc3339(self._since_ms)} are gone, and only they tell "
                "the visitors of a part of an epoch: ask from there on, by the day or longer, or "
                "with uniques=false"
            )
            raise TooBroadError(msg)
        return hours


def value_of(db: Connection, dimension: str, value: Value) -> int | None:
    """Return what *value* is stored as; None: no hit ever had it."""
    if value is None:
        return ABSENT
    if dimension in NUMBERS:
        return int(value)
    found = db.execute(TEXT_ID, (value,)).fetchone()
    return found and int(found[0])


def _sum(columns: Iterable[int]) -> str:
    return " + ".join(f"rollup.{COUNTED[at]}" for at in columns)
