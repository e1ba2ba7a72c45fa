"""In which hours the records of an opened batch became hits, or were set aside alone.

A hit says itself when it was.  A record that could not be read does not: it is one
of those that the tally has beyond the hits.

Rules of this file:
- Pure.
"""

from collections import Counter
from typing import NamedTuple

from milepost.batch import HOUR_MS, Tally, hour_of
from milepost.record import Body
from milepost.vocabulary import Millis


class Placed(NamedTuple):
    """How many records of one hour found which place."""

    hour_ms: int
    pulled: int
    set_aside: int


def placed(tally: Tally, first_ms: Millis, body: Body) -> list[Placed]:
    """Return where the records of *body* count; *tally* has one row an hour.

    Each counts once, whatever the tally says: where the two differ, that is found
    out when all is reconciled.
    """
    pulled = Counter([record.time // HOUR_MS for record in body.records])
    aside: Counter[int] = Counter()
    left = len(body.raw)
    for row in tally if left else ():
        share = min(left, max(0, row.recorded - pulled[row.hour_ms // HOUR_MS]))
        aside[row.hour_ms // HOUR_MS] += share
        left -= share
    aside[hour_of(first_ms) // HOUR_MS] += left
    return [
        Placed(hour * HOUR_MS, pulled[hour], aside[hour])
        for hour in sorted({*pulled, *aside})
        if pulled[hour] or aside[hour]
    ]
