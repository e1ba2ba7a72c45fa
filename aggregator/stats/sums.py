"""Sums: what is counted of a bucket and of a group, and how cells are added to them.

Rules of this file:
- Pure.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from aggregator.rolling.cells import (
    ANY_FIRSTS,
    ANY_LASTS,
    CLICKS,
    FIRSTS,
    HITS,
    LASTS,
    OF_BOTS,
    Cells,
    Seen,
)
from aggregator.stats.planning import WHOLE, Span, holding

Group = tuple[int, ...]  # its values: ids of texts, or numbers; 0: absent
Sum = list[int]  # hits, clicks, uniques
Sums = dict[tuple[int, Group], Sum]  # by bucket and group
UNIQUES = 2
TOTALS: Group = ()


class Counted(NamedTuple):
    """Which columns of a cell count."""

    hits: tuple[int, ...]
    clicks: tuple[int, ...]
    firsts: int
    lasts: int


COUNTED_OF = {  # by `bots`
    "exclude": Counted((HITS,), (CLICKS,), FIRSTS, LASTS),
    "only": Counted((OF_BOTS + HITS,), (OF_BOTS + CLICKS,), OF_BOTS + FIRSTS, OF_BOTS + LASTS),
    "include": Counted((HITS, OF_BOTS + HITS), (CLICKS, OF_BOTS + CLICKS), ANY_FIRSTS, ANY_LASTS),
}


class Hours(NamedTuple):
    """The hours of the first and the last click of an epoch."""

    first_ms: int
    last_ms: int

    def begins_in(self, span: Span) -> bool:
        """Tell whether no click of the epoch is before *span*."""
        return self.first_ms >= span.start_ms

    def ends_in(self, span: Span) -> bool:
        """Tell whether no click of the epoch is after *span*."""
        return self.last_ms < span.end_ms


Epochs = dict[int, Hours]


def hours_of(clicks: Seen, known: Mapping[int, Hours]) -> Epochs:
    """Return the hours of the epochs of *clicks*, as *known* and as these make them."""
    found: Epochs = {}
    for epoch, hour_ms in {*zip(clicks.epochs, clicks.hours, strict=True)}:
        was = found.get(epoch) or known.get(epoch) or Hours(hour_ms, hour_ms)
        found[epoch] = Hours(min(was.first_ms, hour_ms), max(was.last_ms, hour_ms))
    return found


def add(sums: Sums, key: tuple[int, Group], more: Iterable[int]) -> None:
    """Add *more* hits, clicks and uniques to one of *sums*."""
    told = sums.setdefault(key, [0, 0, 0])
    for at, count in enumerate(more):
        told[at] += count


def add_cells(
    sums: Sums,
    cells: Cells,
    epochs: Mapping[int, Hours],
    counted: Counted,
    *,
    dimension: int,
    values: Collection[int],
    spans: Sequence[Span],
) -> None:
    """Add *cells* of *dimension* with one of *values*.

    The visitors of an epoch that begins in a span are those who have their first click in
    it, and of one that ends in it, who have their last.  Others are not told by cells.
    """
    for (of, value, epoch, hour_ms), cell in cells.items():
        if of != dimension or value not in values:
            continue
        hits, clicks = (sum(cell[at] for at in columns) for columns in counted[:2])
        hours = epochs.get(epoch)
        for span in holding(spans, hour_ms):
            uniques = 0
            if hours is not None and hours.begins_in(span):
                uniques = cell[counted.firsts]
            elif hours is not None and hours.ends_in(span):
                uniques = cell[counted.lasts]
            add(sums, (span.bucket, (value,)), (hits, clicks, uniques))


class Inside(NamedTuple):
    """An hour of a bucket, with clicks of an epoch that goes on before and after the bucket."""

    bucket: int
    epoch: int
    hour_ms: int


def inside(clicks: Seen, epochs: Mapping[int, Hours], spans: Sequence[Span]) -> set[Inside]:
    """Return where *clicks* are inside a bucket that cells do not tell the visitors of."""
    return {
        Inside(span.bucket, epoch, hour_ms)
        for epoch, hour_ms in {*zip(clicks.epochs, clicks.hours, strict=True)}
        for span in holding(spans, hour_ms)
        if not epochs[epoch].begins_in(span) and not epochs[epoch].ends_in(span)
    }


Name = str | int | None


class Rest(NamedTuple):
    """The groups that are not told one by one.  Their visitors may be others' as well."""

    groups: int
    hits: int
    clicks: int


class Found(NamedTuple):
    """What was counted."""

    rolled: bool  # counted out of the rollups and what is ahead of them; else out of the rows
    epochs: int
    sums: Sums
    groups: Mapping[Group, tuple[Name, ...]]  # with their names, in the order of the answer
    rest: Rest
    since_ms: int | None  # since when there are rows; None: none are gone


def choose(
    sums: Mapping[Group, Sum],
    limit: int,
    named: Callable[[Collection[Group]], Mapping[Group, tuple[Name, ...]]],
) -> dict[Group, tuple[Name, ...]]:
    """Return the *limit* groups with most clicks and their names, by which ties are broken.

    *named* tells the names of groups: it is asked for no more than may be chosen.
    """
    most = sorted((told[CLICKS] for told in sums.values()), reverse=True)[:limit]
    least = most[-1] if most else 0
    names = named([group for group, told in sums.items() if told[CLICKS] >= least])
    ranked = sorted(names, key=lambda group: (-sums[group][CLICKS], _order(names[group])))
    return {group: names[group] for group in ranked[:limit]}


def rest_of(sums: Sums, told: Collection[Group], groups: int) -> Rest:
    """Return what *groups* groups come to beyond those that are *told*: each hit is in one."""
    if not groups:
        return Rest(0, 0, 0)
    hits, clicks = (
        sums.get((WHOLE, TOTALS), [0, 0])[at] - sum(sums[WHOLE, group][at] for group in told)
        for at in (HITS, CLICKS)
    )
    return Rest(groups - len(told), hits, clicks)


def _order(names: Iterable[Name]) -> list[tuple[bool, Name]]:
    """Return what to sort *names* by: what is absent comes first."""
    return [(name is not None, 0 if name is None else name) for name in names]
