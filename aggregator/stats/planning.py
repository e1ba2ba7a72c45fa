"""How a question is answered: out of the rollups, if these can, or out of the rows.

Rollups count by one dimension and by the hour.  They answer whoever asks for everything, or
for one value of a dimension, and groups by nothing else.

Rules of this file:
- Pure.
"""

from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from math import gcd
from typing import NamedTuple

import orjson

from aggregator.access.narrowing import Narrowing
from aggregator.asking.filters import Filter, Value
from aggregator.rolling.fields import DIMENSION_NUMBERS, TOTAL
from aggregator.rolling.tiers import HOUR_MS, TIERS, TOGETHER, Stretch, balance
from aggregator.stats.question import Question
from milepost.errors import RejectedError

Stretches = Callable[[int, int], Iterable[Stretch]]

SLOTS_MAX = 200_000
WHOLE = -1  # the bucket that is the whole range


class Span(NamedTuple):
    """A bucket of the answer: from its start to the first moment that does not belong."""

    bucket: int
    start_ms: int
    end_ms: int


class Piece(NamedTuple):
    """A bucket of the rollups, and the bucket of the answer that it is a piece of."""

    bucket: int
    start_ms: int
    end_ms: int
    tier: int
    at_ms: int
    straddled: bool = False  # by an epoch that began before the bucket of the answer
    sign: int = 1  # -1: it is no piece of it, but of one that is

    @property
    def place(self) -> tuple[int, int, int]:
        """Return what tells it from the others."""
        return self.bucket, self.tier, self.at_ms


class FromRollups(NamedTuple):
    """What the rollups are asked for."""

    dimension: str  # of the totals
    value: Value  # of that; None: absent
    group: str | None  # None: by nothing, or by the dimension whose one value is asked for


def from_rollups(question: Question, narrowing: Narrowing) -> FromRollups | None:
    """Return what to ask the rollups for, or None if only the rows know."""
    if any(moment % HOUR_MS for moment in (question.start_ms, question.end_ms, *question.starts)):
        return None
    wanted = {*_values(question.filters), *_narrowed(narrowing)}
    if len(wanted) > 1 or None in wanted or len(question.group_by) > 1:
        return None
    group = question.group_by[0] if question.group_by else None
    for dimension, value in filter(None, wanted):
        return FromRollups(dimension, value, None) if group in {None, dimension} else None
    return FromRollups(TOTAL, None, group)


def _values(filters: Iterable[Filter]) -> Iterator[tuple[str, Value] | None]:
    for each in filters:
        simple = each.field in DIMENSION_NUMBERS and not (each.negated or each.prefix)
        yield (each.field, each.values[0]) if simple and len(each.values) == 1 else None


def _narrowed(narrowing: Narrowing) -> Iterator[tuple[str, Value] | None]:
    for field, allowed in (("host", narrowing.hosts), ("link", narrowing.links)):
        if allowed is not None:
            yield (field, next(iter(allowed))) if len(allowed) == 1 else None


def spans(question: Question) -> list[Span]:
    """Return the whole range, and behind it the buckets of the series if one is asked for."""
    return [Span(WHOLE, question.start_ms, question.end_ms), *series(question)]


def series(question: Question) -> list[Span]:
    """Return the buckets of the series."""
    ends = [*question.starts[1:], question.end_ms]
    pairs = zip(question.starts, ends, strict=False)  # without a series there is one end
    return [Span(number, *pair) for number, pair in enumerate(pairs)]


def pieces(wanted: Iterable[Span], stretches: Stretches = balance) -> Iterator[Piece]:
    """Give the buckets of the rollups that make up each of *wanted*."""
    for span in wanted:
        for tier, start_ms, end_ms, sign in stretches(span.start_ms, span.end_ms):
            for at_ms in range(start_ms, end_ms, TIERS[tier]):
                yield Piece(*span, tier, at_ms, sign=sign)


def parted(whole: Iterable[Piece], straddled: Container[tuple[int, int, int]]) -> Iterator[Piece]:
    """Give the pieces, told which are *straddled*: days for what does not tell epochs apart."""
    for piece in whole:
        if piece.place not in straddled:
            yield piece
        elif piece.tier == TOGETHER:
            size_ms, tier = TIERS[TOGETHER], TOGETHER - 1
            for at_ms in range(piece.at_ms, piece.at_ms + size_ms, TIERS[tier]):
                yield piece._replace(tier=tier, at_ms=at_ms, straddled=True)
        else:
            yield piece._replace(straddled=True)


def holding(wanted: Sequence[Span], moment_ms: int) -> Iterator[Span]:
    """Give those of *wanted* that hold a moment: the whole, or one of a series, or both."""
    whole = [each for each in wanted if each.bucket == WHOLE]
    rest = wanted[len(whole) :]
    at = bisect_right(rest, moment_ms, key=lambda each: each.start_ms) - 1
    for each in (*whole, *([rest[at]] if at >= 0 else [])):
        if each.start_ms <= moment_ms < each.end_ms:
            yield each


class Slots(NamedTuple):
    """Spans of one length, so short that each is in one bucket of a series."""

    size_ms: int
    buckets: Sequence[tuple[int, int]]  # number and bucket


def slots(question: Question) -> Slots:
    """Return the slots of the buckets of a series, or refuse."""
    size_ms = gcd(question.end_ms, *question.starts)
    if (question.end_ms - question.start_ms) // size_ms > SLOTS_MAX:
        msg = "interval: the range is too long for this time zone; want a shorter one, or tz=UTC"
        raise RejectedError(msg)
    return Slots(
        size_ms,
        [
            (at // size_ms, span.bucket)
            for span in series(question)
            for at in range(span.start_ms, span.end_ms, size_ms)
        ],
    )


def runs(hours: Iterable[int]) -> list[tuple[int, int]]:
    """Return *hours* that follow one another as ranges of time."""
    found: list[tuple[int, int]] = []
    for hour_ms in sorted(set(hours)):
        if found and found[-1][1] == hour_ms:
            found[-1] = (found[-1][0], hour_ms + HOUR_MS)
        else:
            found.append((hour_ms, hour_ms + HOUR_MS))
    return found


def listed(values: Iterable[object]) -> str:
    """Write *values*, single ones or rows, so that one bound value holds them all."""
    plain = [tuple(each) if isinstance(each, tuple) else each for each in values]
    return orjson.dumps(plain).decode()
