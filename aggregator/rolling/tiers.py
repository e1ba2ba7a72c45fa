"""Tiers: the same counts by the hour, by the day and by eight days.

A long range is added up from few large buckets and some small ones at its ends, or taken
away again there.  The
largest count all epochs together, for a value that comes every day would else have eight
rows in each; they are for ranges in which each epoch of theirs begins.

Rules of this file:
- Pure.
"""

from collections.abc import Iterator
from typing import NamedTuple

HOUR_MS = 3_600_000
TIERS = (HOUR_MS, 24 * HOUR_MS, 8 * 24 * HOUR_MS)  # a number is for good: its place here
TOGETHER = 2  # the tier that does not tell epochs apart
EVERY_EPOCH = -1  # stands there for the epoch
LARGER = 2  # a bucket has about as many values as so many of the next smaller ones


class Stretch(NamedTuple):
    """Whole buckets of one tier, from the first moment to the first that does not belong."""

    tier: int
    start_ms: int
    end_ms: int
    sign: int = 1  # -1: what is in them is taken away again


def hour_of(moment_ms: int) -> int:
    """Return when the hour of a moment began."""
    return moment_ms - moment_ms % HOUR_MS


def bucket_of(tier: int, moment_ms: int) -> int:
    """Return when the bucket of *tier* that a moment is in began."""
    return moment_ms - moment_ms % TIERS[tier]


def cover(start_ms: int, end_ms: int, tier: int = len(TIERS) - 1) -> Iterator[Stretch]:
    """Give the stretches that make up a range of whole hours, each hour once."""
    if start_ms >= end_ms:
        return
    if tier == 0:
        yield Stretch(0, start_ms, end_ms)
        return
    size = TIERS[tier]
    first, last = start_ms + -start_ms % size, end_ms - end_ms % size
    if first >= last:
        yield from cover(start_ms, end_ms, tier - 1)
        return
    yield from cover(start_ms, first, tier - 1)
    yield Stretch(tier, first, last)
    yield from cover(last, end_ms, tier - 1)


def balance(
    start_ms: int, end_ms: int, tier: int = len(TIERS) - 1, sign: int = 1
) -> Iterator[Stretch]:
    """Give stretches that add up to a range of whole hours, few of them.

    Where most of a bucket belongs to it, the whole bucket is taken, and the rest away again.
    """
    if start_ms >= end_ms:
        return
    if tier == 0:
        yield Stretch(0, start_ms, end_ms, sign)
        return
    size = TIERS[tier]
    first, last = start_ms + -start_ms % size, end_ms - end_ms % size
    if first > last:
        yield from balance(start_ms, end_ms, tier - 1, sign)
        return
    yield from _edge((start_ms, first), (first - size, start_ms), tier, sign)
    if first < last:
        yield Stretch(tier, first, last, sign)
    yield from _edge((last, end_ms), (end_ms, last + size), tier, sign)


def _edge(
    inside: tuple[int, int], outside: tuple[int, int], tier: int, sign: int
) -> Iterator[Stretch]:
    """Give a part of one bucket, of which the rest is *outside*."""
    direct, rest = (
        (end_ms - start_ms) // TIERS[tier - 1] for start_ms, end_ms in (inside, outside)
    )
    if direct <= rest + LARGER:
        yield from balance(*inside, tier - 1, sign)
        return
    start_ms = min(*inside, *outside)
    yield Stretch(tier, start_ms, start_ms + TIERS[tier], sign)
    yield from balance(*outside, tier - 1, -sign)
