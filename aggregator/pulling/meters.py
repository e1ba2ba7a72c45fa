"""When a meter that is told now is an older copy than one that was told before.

Rules of this file:
- Pure.
"""

from collections.abc import Sequence

from milepost.wire import MeterRow

COUNT_MAX = (1 << 53) - 1  # beyond it a count is nonsense, and sums of it would overflow


def is_lower(before: Sequence[MeterRow], told: Sequence[MeterRow]) -> bool:
    """Tell whether *told* lacks what a meter has counted *before*.

    A full page lets its oldest hours go: those before the first told say nothing.
    """
    now = {row.hour_ms: row for row in told}
    since = min(now, default=0)
    return any(
        any(had > has for had, has in zip(row[1:], _counts(now.get(row.hour_ms)), strict=True))
        for row in before
        if row.hour_ms >= since
    )


def _counts(row: MeterRow | None) -> tuple[int, int, int]:
    if row is None:
        return (0, 0, 0)
    accepted, shed, excluded = (min(count, COUNT_MAX) for count in row[1:])
    return (accepted, shed, excluded)
