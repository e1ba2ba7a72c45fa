"""Moments as callers write them.

    2026-01-31T12:00:00Z   RFC 3339, with an offset
    2026-01-31             the start of that day, in a time zone
    1769860800000          milliseconds since 1970
    now, -15m, -24h, -30d  from now; a day is 24 hours and a week is seven days

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from milepost.errors import RejectedError

ZONE_CHARS_MAX = 64
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
NOW = "now"
LAST_MS = 250_000_000_000_000  # in the year 9892: later ones have no local time
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def read_zone(name: str, text: str) -> ZoneInfo:
    """Return the time zone *text*, or refuse."""
    if re.fullmatch(rf"[A-Za-z0-9_+/-]{{1,{ZONE_CHARS_MAX}}}", text):
        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass  # OSError: the name of a folder of zones
    msg = f"{name}: want the name of a time zone, such as UTC or Europe/Paris"
    raise RejectedError(msg)


def read_moment(name: str, text: str, *, now_ms: int, zone: tzinfo) -> int:
    """Return the moment *text* in milliseconds since 1970, or refuse."""
    if re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    if text == NOW:
        return now_ms
    if relative := re.fullmatch(r"-([0-9]{1,9})([smhdw])", text):
        return max(now_ms - int(relative[1]) * UNITS_MS[relative[2]], 0)
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            day = date.fromisoformat(text)
            moment = datetime(day.year, day.month, day.day, tzinfo=zone)
        else:
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return (moment - _1970) // _MS
    except (ValueError, OverflowError):
        pass
    msg = (
        f"{name}: want RFC 3339 such as 2026-01-31T12:00:00Z, a day such as 2026-01-31, "
        "milliseconds since 1970, now, or a time before now such as -15m, -24h or -30d"
    )
    raise RejectedError(msg)
