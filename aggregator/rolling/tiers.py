"""Tiers: the same counts by the hour, by the day and by eight days.

A long range is added up from few large buckets and some small ones at its ends.  The
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


class Stretch(NamedTuple):
    """Whole buckets of one tier, from the first moment to the first that does not belong."""

    tier: int
    start_ms: int
    end_ms: int


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
