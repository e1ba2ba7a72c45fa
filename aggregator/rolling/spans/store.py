"""The SQL that tells when visitors clicked first and last, up to some batch.

It is asked of the clicks themselves; of visitors who click often (`regular`) it is kept, and
so it is of those clicks whose rows went by their age (`past`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from aggregator.rolling.cells import Seen, Who, seen_from
from aggregator.rolling.fields import CLICK, DIMENSIONS, FROM_HIT, HUMAN, expression
from aggregator.rolling.tiers import HOUR_MS
from aggregator.rolling.visitors import NEVER, NO_CLICK, Span, Spans, joined, spans_of
from milepost.sqlite import Connection

ALL = tuple(range(len(DIMENSIONS)))

Place = tuple[int, int]  # of a hit: its batch, as applied.id, and its place in that

HOUR = f"hit.time_ms - hit.time_ms % {HOUR_MS}"
SEEN = f"hit.epoch, {HOUR}, hit.visitor, {CLICK}, {HUMAN}"


def value_of(dimension: int) -> str:
    """Return the SQL of the value of *dimension*."""
    return f"coalesce({expression(DIMENSIONS[dimension])}, 0)"


def values_of(dimensions: Iterable[int]) -> str:
    """Return the SQL of the values of *dimensions*, as columns."""
    return ", ".join(map(value_of, dimensions))


# The join stays as it is written: from the few visitors to their clicks.
CLICKS_OF = f"""
    SELECT {SEEN}, {{values}}
      FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.epoch = asked.value ->> 0 AND hit.visitor = unhex(asked.value ->> 1)
       AND hit.batch <= ? AND {CLICK}
"""
SEEN_AT = f"""
    SELECT {SEEN}, {values_of(ALL)}
      FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.batch = asked.value ->> 0 AND hit.idx = asked.value ->> 1 AND hit.batch <= ?
"""
# In the order of the index, so that it ends at the first click that there is.
SEEK = f"""
    SELECT {HOUR} FROM {FROM_HIT}
     WHERE hit.epoch = ? AND hit.visitor = ? AND hit.batch <= ? AND {CLICK}
       AND coalesce({HUMAN}, 0) = ? AND {{value}} = ? AND hit.time_ms >= ? AND hit.time_ms < ?
     ORDER BY hit.time_ms {{order}} LIMIT 1
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
PAST_OF = """
    SELECT epoch, visitor, dimension, past.value, human_first, human_last, bot_first, bot_last
      FROM json_each(?) AS asked CROSS JOIN past
     WHERE epoch = asked.value ->> 0 AND visitor = unhex(asked.value ->> 1)
"""
HAS_PAST = """
    SELECT 1 FROM json_each(?) AS asked
     WHERE EXISTS (SELECT 1 FROM past WHERE past.epoch = asked.value) LIMIT 1
"""
# A hash is of one epoch, and nobody says which: the index is asked for each.
EPOCHS = """
    WITH RECURSIVE told (epoch) AS (
        SELECT (SELECT epoch FROM hit INDEXED BY hit_by_visitor
                 WHERE visitor IS NOT NULL ORDER BY epoch LIMIT 1)
         UNION ALL
        SELECT (SELECT epoch FROM hit INDEXED BY hit_by_visitor
                 WHERE visitor IS NOT NULL AND epoch > told.epoch ORDER BY epoch LIMIT 1)
          FROM told WHERE told.epoch IS NOT NULL
    )
    SELECT epoch FROM told WHERE epoch IS NOT NULL
"""
PUT_REGULAR = f"INSERT OR REPLACE INTO regular VALUES ({', '.join('?' * 8)})"
DROP_REGULAR = """
    DELETE FROM regular WHERE epoch = ? AND visitor = ? AND dimension = ? AND value = ?
"""
ADD_PAST = f"""
    INSERT INTO past VALUES ({", ".join("?" * 8)})
        ON CONFLICT (epoch, visitor, dimension, value) DO UPDATE
       SET human_first = min(human_first, excluded.human_first),
           human_last  = max(human_last,  excluded.human_last),
           bot_first   = min(bot_first,   excluded.bot_first),
           bot_last    = max(bot_last,    excluded.bot_last)
"""


def epochs_of_visitors(db: Connection) -> list[int]:
    """Return every epoch of which there is a hit with a visitor."""
    return [int(epoch) for (epoch,) in db.execute(EPOCHS)]


def seen_at(db: Connection, places: str, upto: int) -> Seen:
    """Return the hits at *places* (written as JSON) that are rolled *upto* some batch."""
    return seen_from(db.execute(SEEN_AT, (places, upto)), len(ALL))


def clicks_before(db: Connection, who: Iterable[Who], upto: int, dimensions: Sequence[int]) -> Seen:
    """Return the clicks of visitors *upto* some batch."""
    sql = CLICKS_OF.format(values=values_of(dimensions))
    return seen_from(db.execute(sql, (names_of(who), upto)), len(dimensions))


def are_regular(db: Connection, who: Iterable[Who]) -> set[Who]:
    """Return those whose spans are kept."""
    return {*db.execute(ARE_REGULAR, (names_of(who),))}


def past_of(db: Connection, who: Collection[Who]) -> dict[Who, Spans]:
    """Return the spans of clicks whose rows are gone."""
    epochs = orjson.dumps(sorted({epoch for epoch, _ in who})).decode()
    if db.execute(HAS_PAST, (epochs,)).fetchone() is None:
        return {}
    return _by_visitor(db.execute(PAST_OF, (names_of(who),)))


def stored_spans(
    db: Connection, regular: Iterable[Who], touched: Mapping[Who, Spans]
) -> dict[Who, Spans]:
    """Return the spans of who is *regular*, of what is *touched*."""
    return _by_visitor(db.execute(SPANS_OF, (keys_of(touched, regular),)))


def spans_upto(db: Connection, who: Collection[Who], upto: int) -> dict[Who, Spans]:
    """Return the spans of all clicks of these visitors, also of those whose rows are gone."""
    found = spans_of(clicks_before(db, who, upto, ALL), ALL)
    return joined(found, past_of(db, who))


def spans_now(
    db: Connection, before: Mapping[Who, Spans], was: Seen, has: Seen, upto: int
) -> dict[Who, Spans]:
    """Return what the spans *before* are, now that clicks that were *was* are *has*.

    A span is looked for again only where a click stood at its end.
    """
    gone, come = spans_of(was, ALL), spans_of(has, ALL)
    past = past_of(db, list(before))
    found: dict[Who, Spans] = {}
    for who, spans in before.items():
        for key, span in spans.items():
            left = gone.get(who, {}).get(key, NO_CLICK)
            kept = past.get(who, {}).get(key, NO_CLICK)
            hours = [
                _end(db, (*who, upto, *key), side, span[side]) if span[side] == left[side] else None
                for side in range(len(NO_CLICK))
            ]
            now = Span(
                *(each if hour is None else hour for hour, each in zip(hours, span, strict=True))
            )
            now = now.joined(kept).joined(come.get(who, {}).get(key, NO_CLICK))
            found.setdefault(who, {})[key] = now
    return found


def _end(
    db: Connection, where: tuple[int, bytes, int, int, int], side: int, hour_ms: int
) -> int | None:
    """Return the hour of the click that is now first or last, as a person or as a bot."""
    epoch, visitor, upto, dimension, value = where
    if abs(hour_ms) == NEVER:
        return None
    last, human = side in {1, 3}, side in {0, 1}  # as the fields of a Span stand
    sql = SEEK.format(value=value_of(dimension), order="DESC" if last else "ASC")
    times = (-NEVER, hour_ms + HOUR_MS) if last else (hour_ms, NEVER)
    found = db.execute(sql, (epoch, visitor, upto, human, value, *times)).fetchone()
    return int(found[0]) if found else NO_CLICK[side]


def put_regular(db: Connection, who: Who, spans: Spans) -> None:
    """Keep *spans* of a visitor; one without any click goes."""
    db.executemany(
        PUT_REGULAR, ((*who, *key, *span) for key, span in spans.items() if span != NO_CLICK)
    )
    db.executemany(DROP_REGULAR, ((*who, *key) for key, span in spans.items() if span == NO_CLICK))


def add_past(db: Connection, clicks: Seen) -> None:
    """Remember of *clicks*, whose rows go, what the rollups need."""
    spans = spans_of(clicks, ALL)
    db.executemany(
        ADD_PAST,
        ((*who, *key, *span) for who, each in spans.items() for key, span in each.items()),
    )


def places_of(hits: Iterable[Place]) -> str:
    """Write the places of *hits*, so that one bound value holds them all."""
    return orjson.dumps(list(hits)).decode()


def names_of(visitors: Iterable[Who]) -> str:
    """Write *visitors*, each once, so that one bound value holds them all."""
    return orjson.dumps([(epoch, visitor.hex()) for epoch, visitor in {*visitors}]).decode()


def keys_of(touched: Mapping[Who, Spans], regular: Iterable[Who]) -> str:
    """Write what is *touched* of those who are *regular*, for SPANS_OF."""
    return orjson.dumps(
        [(who[0], who[1].hex(), *key) for who in regular for key in touched[who]]
    ).decode()


def _by_visitor(rows: Iterable[Sequence[Any]]) -> dict[Who, Spans]:
    found: dict[Who, Spans] = {}
    for epoch, visitor, dimension, value, *span in rows:
        found.setdefault((epoch, visitor), {})[dimension, value] = Span(*span)
    return found
