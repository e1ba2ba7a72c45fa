"""Moments as OP3's callers write them.

    -24h, 90m, +5m, 0s     from now; d, h, m or s
    2026-01, 2026-01-31    the start of that month or day, UTC
    2026-01-31T12:00:00Z   UTC, and nothing else; a fraction is cut to milliseconds

As there, a day that the month does not have runs over: 2026-02-30 is 2026-03-02.

Rules of this file:
- Pure.
"""

import re
from datetime import UTC, datetime, timedelta

UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
LATEST_MS = 1 << 53
_1970 = datetime(1970, 1, 1, tzinfo=UTC)

_DURATION = re.compile(r"([+-]?)(0|[1-9][0-9]{0,14})([dhms])")
_INSTANT = re.compile(
    r"(2[0-9]{3})-(0[1-9]|1[0-2])"
    r"(?:-(0[1-9]|[12][0-9]|3[01])"
    r"(?:T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,30}))?Z)?)?"
)


def read_op3_moment(text: str, now_ms: int) -> int | None:
    """Return the moment *text* in milliseconds since 1970; None: it is none."""
    if duration := _DURATION.fullmatch(text):
        sign, count, unit = duration.groups()
        moment = now_ms + int(count) * UNITS_MS[unit] * (-1 if sign == "-" else 1)
        return max(-LATEST_MS, min(moment, LATEST_MS))
    if instant := _INSTANT.fullmatch(text):
        *parts, fraction = instant.groups()
        year, month, day, hour, minute, second = (int(each or 0) for each in parts)
        days = timedelta(days=max(day, 1) - 1, hours=hour, minutes=minute, seconds=second)
        moment = (datetime(year, month, 1, tzinfo=UTC) + days - _1970) // timedelta(milliseconds=1)
        return moment + int((fraction or "0").ljust(3, "0")[:3])
    return None
