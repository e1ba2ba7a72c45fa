"""What may be asked of the lists: parameters in, a question out.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aggregator.asking.filters import INTEGER_MAX, TEXT_CHARS_MAX, is_text
from aggregator.asking.times import read_moment
from milepost.batch import HOUR_MS
from milepost.errors import RejectedError

LIMIT_DEFAULT, LIMIT_MAX = 100, 10_000
SET_ASIDE_MAX = 1_000  # a record set aside can be 12 KB of text
HOURS_DEFAULT, DAY_MS = 1_000, 86_400_000

HOUR_NAMES = ("region", "start", "end", "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Which hours, of which region, and how many rows."""

    region: str | None
    start_ms: int
    end_ms: int
    limit: int


def read_limit(given: Mapping[str, str]) -> int:
    """Read the only parameter of a list without pages, or refuse."""
    if unknown := sorted(set(given) - {"limit"}):
        msg = f"{unknown[0][:64]!r}: unknown; accepted is limit"
        raise RejectedError(msg)
    return _limit(given, SET_ASIDE_MAX)


def read_hours(given: Sequence[tuple[str, str]], now: int) -> Hours:
    """Read which hours are wanted, whole ones: without a start the last day before the end."""
    told = _each_once(given, HOUR_NAMES)
    start_ms, end_ms = _moment(told, "start", now), _moment(told, "end", now)
    if start_ms is None:
        start_ms = (now if end_ms is None else end_ms) - DAY_MS
    return Hours(
        region=_text(told, "region") if "region" in told else None,
        start_ms=start_ms - start_ms % HOUR_MS,
        end_ms=INTEGER_MAX if end_ms is None else end_ms + -end_ms % HOUR_MS,
        limit=_limit({"limit": str(HOURS_DEFAULT)} | told),
    )


def rfc3339(moment_ms: int) -> str:
    """Write a moment with its milliseconds."""
    seconds, ms = divmod(moment_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _each_once(given: Sequence[tuple[str, str]], accepted: tuple[str, ...]) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, value in given:
        if name not in accepted:
            msg = f"{name[:64]!r}: unknown; accepted are {', '.join(accepted)}"
            raise RejectedError(msg)
        if name in told:
            msg = f"{name}: given twice; accepted is one value"
            raise RejectedError(msg)
        told[name] = value
    return told


def _text(told: Mapping[str, str], name: str) -> str:
    value = told[name]
    if not 0 < len(value) <= TEXT_CHARS_MAX or not is_text(value):
        msg = f"{name}: want a text of 1 to {TEXT_CHARS_MAX} characters"
        raise RejectedError(msg)
    return value


def _moment(told: Mapping[str, str], name: str, now: int) -> int | None:
    return read_moment(name, told[name], now_ms=now, zone=UTC) if name in told else None


def _limit(told: Mapping[str, str], most: int = LIMIT_MAX) -> int:
    value = told.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= most:
        msg = f"limit: want a whole number, 1 to {most}"
        raise RejectedError(msg)
    return int(value)
