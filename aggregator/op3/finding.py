"""The rows of one page, found in one moment of the database."""

from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter

from aggregator.access.narrowing import Narrowing
from aggregator.asking.budget import Budget
from aggregator.op3.asked import Asked
from aggregator.op3.rows import STORED, TEXT_PLACES, Row, rows_of
from aggregator.searching.question import Place, Want
from aggregator.searching.store import rows_at, search, texts_of
from milepost.errors import TooBroadError
from milepost.sqlite import Connection

ONE_MS_MAX = 5_000  # rows of the last millisecond of a page that may come beyond its limit


def page_for(db: Connection, asked: Asked, narrowing: Narrowing, budget: Budget) -> list[Row]:
    """Return the rows that are *asked* for, or refuse what would take too long.

    Who asks on with the time of the last row would miss what shares its millisecond.  So a
    page that ascends goes on to the end of it, beyond the limit if need be.
    """
    if asked.limit == 0:
        return []
    want = Want(
        selection=asked.selection,
        by_arrival=False,
        descending=asked.descending,
        limit=asked.limit,
    )
    found = search(db, want, narrowing, budget)
    places = [Place(*row[:3]) for row in found.rows]
    if found.more:
        if len(places) < asked.limit:
            raise budget.ended()  # a short page would be taken for the last one
        places += _same_moment(db, want, places[-1], narrowing, budget)
    raw = rows_at(db, places, STORED)
    texts = texts_of(db, _text_ids(raw))
    rows = sorted(rows_of(raw, texts, asked.epoch), key=itemgetter(0, 1), reverse=asked.descending)
    return rows[: asked.limit] if asked.descending else rows


def _same_moment(
    db: Connection, want: Want, last: Place, narrowing: Narrowing, budget: Budget
) -> list[Place]:
    """Return what else is of the same millisecond as *last*."""
    moment = replace(want.selection, start_ms=last.time_ms, end_ms=last.time_ms + 1)
    rest = replace(want, selection=moment, after=last, limit=ONE_MS_MAX)
    found = search(db, rest, narrowing, budget)
    if found.more:
        msg = f"more than {ONE_MS_MAX} hits of one millisecond: add a filter"
        raise TooBroadError(msg)
    return [Place(*row[:3]) for row in found.rows]


def _text_ids(raw: list[tuple[object, ...]]) -> Iterator[int]:
    found = {row[at] for row in raw for at in TEXT_PLACES}
    return (each for each in found if isinstance(each, int))
