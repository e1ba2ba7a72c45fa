"""Counting hits into cells.

A cell is what is counted of one value of a dimension, in one hour and one epoch.

Rules of this file:
- Pure.
- Everything is a difference: what rows count can be taken away again.
- Columns rather than rows: this runs for every hit, and counting a column costs least.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

# What a cell holds.  First and last clicks are counted among people, among bots, and
# among both together, for one visitor can be seen as either.
HITS, CLICKS, FIRSTS, LASTS = range(4)
OF_BOTS = 4  # from here on, the same four of bots
ANY_FIRSTS, ANY_LASTS = 8, 9
WIDTH = 10


class Key(NamedTuple):
    """Which cell."""

    dimension: int
    value: int
    epoch: int
    hour_ms: int


Cells = dict[Key, list[int]]
Who = tuple[int, bytes]  # epoch and visitor


class Seen(NamedTuple):
    """Hits as far as they are counted, column by column."""

    epochs: Sequence[int]
    hours: Sequence[int]
    visitors: Sequence[bytes | None]
    clicks: Sequence[bool]
    humans: Sequence[bool]
    values: Sequence[Sequence[int]]  # of each dimension that is counted

    def only(self, wanted: Sequence[Any]) -> "Seen":
        """Return those that are *wanted*, one mark for each."""
        return self._each(lambda column: list(compress(column, wanted)))

    def by_hour(self) -> "Seen":
        """Return them in the order of their hours."""
        order = sorted(range(len(self.hours)), key=self.hours.__getitem__)
        return self._each(lambda column: [column[at] for at in order])

    def of_visitors(self) -> "Seen":
        """Return the clicks whose visitor is known."""
        pairs = zip(self.clicks, self.visitors, strict=True)
        return self.only([click and visitor is not None for click, visitor in pairs])

    def who(self) -> list[Who]:
        """Return whose hits they are; each has a visitor."""
        pairs = zip(self.epochs, self.visitors, strict=True)
        return [(epoch, visitor or b"") for epoch, visitor in pairs]

    def _each(self, change: Callable[[Sequence[Any]], list[Any]]) -> "Seen":
        epochs, hours, visitors, clicks, humans = map(change, self[:5])
        return Seen(epochs, hours, visitors, clicks, humans, [*map(change, self.values)])

    def rows(self) -> Iterator[tuple[int, int, bool, tuple[int, ...]]]:
        """Give epoch, hour, whether it is a person's, and values of each."""
        values = zip(*self.values, strict=True)
        return zip(self.epochs, self.hours, self.humans, values, strict=True)


def seen_from(rows: Iterable[Sequence[Any]], width: int) -> Seen:
    """Return *rows* of epoch, hour, visitor, click, human and *width* values as columns."""
    columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * (5 + width)
    epochs, hours, visitors, clicks, humans, *values = columns
    return Seen(epochs, hours, visitors, clicks, humans, values)


def count(cells: Cells, seen: Seen, dimensions: Iterable[int], sign: int = 1) -> None:
    """Add the hits and clicks of *seen* to *cells*, or with a *sign* of -1 take them away."""
    groups = list(zip(seen.epochs, seen.hours, seen.clicks, seen.humans, strict=True))
    for dimension, column in zip(dimensions, seen.values, strict=True):
        counted = Counter(zip(column, groups, strict=True))
        for (value, (epoch, hour_ms, click, human)), times in counted.items():
            cell = cell_of(cells, Key(dimension, value, epoch, hour_ms))
            at = 0 if human else OF_BOTS
            cell[at + HITS] += sign * times
            if click:
                cell[at + CLICKS] += sign * times


def cell_of(cells: Cells, key: Key) -> list[int]:
    """Return the cell *key*, a new one if there is none."""
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = [0] * WIDTH
    return cell
