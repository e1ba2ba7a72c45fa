"""Lives, streams and hours as they stand in the books, for whoever reconciles them."""

from typing import Any

from aggregator.reconciling.rules import (
    Books,
    LifeState,
    Reckoning,
    Row,
    StreamState,
    reckon,
)
from aggregator.reconciling.summing import Range
from milepost.batch import HOUR_MS
from milepost.vocabulary import LifeId

LIFE, OTHER = LifeId(b"a" * 16), LifeId(b"b" * 16)
HOUR = 500_000 * HOUR_MS
ALL = Range(start_ms=0, end_ms=1 << 62)


def a_life(**changes: Any) -> LifeState:
    """Return a life that goes on, with a meter."""
    life = LifeState(
        LIFE, "dfw", alive=True, present=True, gone=False, newest_ms=0, metered_since=HOUR
    )
    return life._replace(**changes)


def a_stream(**changes: Any) -> StreamState:
    """Return a stream that is closed and applied to its end."""
    stream = StreamState(
        life=LIFE,
        created_ms=HOUR + 5,
        present=True,
        open=False,
        at_end=True,
        complete=True,
        swept=False,
        abandoned=False,
        missing=0,
    )
    return stream._replace(**changes)


def a_row(**changes: Any) -> Row:
    """Return an hour in which 10 were accepted and all of them became hits."""
    row = Row(LIFE, HOUR, 10, 0, 0, 10, 0, 0, 0, 10, 0)
    return row._replace(**changes)


def one(row: Row | None, life: LifeState, *streams: StreamState, **more: Any) -> Reckoning:
    """Reckon one life alone."""
    found = reckon(
        Books(
            rows=[row] if row else [],
            lives={LIFE: life},
            streams={LIFE: list(streams)} if streams else {},
            **more,
        )
    )
    total = Reckoning()
    for each in found.values():
        total.add(each)
    return total
