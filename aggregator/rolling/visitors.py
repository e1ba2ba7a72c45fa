"""Counting visitors by their first and their last click.

Visitors cannot be added up over hours, but their first and last clicks can: who came
since some moment of an epoch had the last click after it, and who came before it had
the first click before it.

Rules of this file:
- Pure.
- Most visitors are people all day, or bots all day, and click seldom: `count_crowd` is
  for them.  `Span` is for all others, and for whoever comes back changed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from aggregator.rolling.cells import (
    ANY_FIRSTS,
    ANY_LASTS,
    FIRSTS,
    LASTS,
    OF_BOTS,
    Cells,
    Key,
    Seen,
    Who,
    cell_of,
)

NEVER = 1 << 62


class Span(NamedTuple):
    """The hours of the first and the last click, as a person and as a bot."""

    human_first: int = NEVER
    human_last: int = -NEVER
    bot_first: int = NEVER
    bot_last: int = -NEVER

    def with_click(self, hour_ms: int, *, human: bool) -> "Span":
        """Return the span with one more click in it."""
        first, last, bot_first, bot_last = self
        if human:
            return Span(min(first, hour_ms), max(last, hour_ms), bot_first, bot_last)
        return Span(first, last, min(bot_first, hour_ms), max(bot_last, hour_ms))

    def joined(self, other: "Span") -> "Span":
        """Return the span of the clicks of both."""
        return Span(
            min(self.human_first, other.human_first),
            max(self.human_last, other.human_last),
            min(self.bot_first, other.bot_first),
            max(self.bot_last, other.bot_last),
        )

    def hours(self) -> tuple[int, ...]:
        """Return where it is counted, in the order of SPAN_COLUMNS."""
        first, last, bot_first, bot_last = self
        return (*self, min(first, bot_first), max(last, bot_last))


SPAN_COLUMNS = (FIRSTS, LASTS, OF_BOTS + FIRSTS, OF_BOTS + LASTS, ANY_FIRSTS, ANY_LASTS)
Spans = dict[tuple[int, int], Span]  # by dimension and value
NO_CLICK = Span()


def mixed(*seen: Seen) -> set[Who]:
    """Return who is seen as a person and as a bot."""
    both = {pair for each in seen for pair in zip(each.who(), each.humans, strict=True)}
    times = Counter(who for who, _ in both)
    return {who for who, count in times.items() if count > 1}


def count_crowd(cells: Cells, seen: Seen, before: Seen, dimensions: Iterable[int]) -> None:
    """Add the visitors of *seen* to *cells*, who had clicked *before*; nobody is mixed.

    All are clicks of visitors.
    """
    old, new = before.by_hour(), seen.by_hour()
    human = dict(zip(zip(new.epochs, new.visitors, strict=True), new.humans, strict=True))
    for dimension, was, has in zip(dimensions, old.values, new.values, strict=True):
        old_pairs, new_pairs = _pairs(old, was), _pairs(new, has)
        # In a dict the last one stays: in order of time the last click, backwards the first.
        lasts = dict(zip(old_pairs, old.hours, strict=True))
        firsts = dict(zip(reversed(old_pairs), reversed(old.hours), strict=True))
        more: Counter[tuple[int, int, bool, int, int]] = Counter()
        for pair, hour_ms in dict(
            zip(reversed(new_pairs), reversed(new.hours), strict=True)
        ).items():
            first = firsts.get(pair)
            if first is None or hour_ms < first:
                epoch, visitor, value = pair
                person = human[epoch, visitor]
                more[value, epoch, person, hour_ms, 0] += 1
                if first is not None:
                    more[value, epoch, person, first, 0] -= 1
        for pair, hour_ms in dict(zip(new_pairs, new.hours, strict=True)).items():
            last = lasts.get(pair)
            if last is None or hour_ms > last:
                epoch, visitor, value = pair
                person = human[epoch, visitor]
                more[value, epoch, person, hour_ms, 1] += 1
                if last is not None:
                    more[value, epoch, person, last, 1] -= 1
        for (value, epoch, person, hour_ms, which), times in more.items():
            cell = cell_of(cells, Key(dimension, value, epoch, hour_ms))
            cell[(FIRSTS if person else OF_BOTS + FIRSTS) + which] += times
            cell[ANY_FIRSTS + which] += times


def count_spans(
    cells: Cells, seen: Seen, before: Mapping[Who, Spans], dimensions: Sequence[int]
) -> dict[Who, Spans]:
    """Add the visitors of *seen* to *cells*, who had clicked as *before* says.

    Returns the spans that *seen* touches, as they are now.
    """
    after = spans_of(seen, dimensions, before)
    touched = {
        who: {key: before.get(who, {}).get(key, NO_CLICK) for key in spans}
        for who, spans in after.items()
    }
    move(cells, touched, after)
    return after


def spans_of(
    seen: Seen, dimensions: Sequence[int], before: Mapping[Who, Spans] = MappingProxyType({})
) -> dict[Who, Spans]:
    """Return the spans that *seen* touches, grown from what they were *before*."""
    after: dict[Who, Spans] = {}
    for who, (_, hour_ms, human, values) in zip(seen.who(), seen.rows(), strict=True):
        known, spans = before.get(who, {}), after.setdefault(who, {})
        for key in zip(dimensions, values, strict=True):
            span = spans.get(key) or known.get(key, NO_CLICK)
            spans[key] = span.with_click(hour_ms, human=human)
    return after


def joined(one: Mapping[Who, Spans], other: Mapping[Who, Spans]) -> dict[Who, Spans]:
    """Return the spans of the clicks of both."""
    found = {who: dict(spans) for who, spans in one.items()}
    for who, spans in other.items():
        into = found.setdefault(who, {})
        for key, span in spans.items():
            into[key] = into.get(key, NO_CLICK).joined(span)
    return found


def move(cells: Cells, before: Mapping[Who, Spans], after: Mapping[Who, Spans]) -> None:
    """Count in *cells* that visitors who had clicked as *before* says now have as *after*."""
    for who in before.keys() | after.keys():
        was, has = before.get(who, {}), after.get(who, {})
        for key in was.keys() | has.keys():
            _move(cells, (*key, who[0]), was.get(key, NO_CLICK), has.get(key, NO_CLICK))


def _move(cells: Cells, where: tuple[int, int, int], was: Span, has: Span) -> None:
    if was == has:
        return
    for before_ms, after_ms, column in zip(was.hours(), has.hours(), SPAN_COLUMNS, strict=True):
        if before_ms == after_ms:
            continue
        if abs(before_ms) != NEVER:
            cell_of(cells, Key(*where, before_ms))[column] -= 1
        if abs(after_ms) != NEVER:
            cell_of(cells, Key(*where, after_ms))[column] += 1


def _pairs(seen: Seen, column: Sequence[int]) -> list[tuple[int, bytes | None, int]]:
    return list(zip(seen.epochs, seen.visitors, column, strict=True))
