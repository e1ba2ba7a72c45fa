"""What may be asked of `GET /v1/hits`: parameters in, a question out.

A cursor is a place in the order, not a number of rows to skip: whatever is
inserted meanwhile, no row is told twice or left out.  It carries what it was
made for, and counts for nothing else.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from milepost.batch import HOUR_MS
from milepost.errors import RejectedError
from milepost.visitor import HASH_BYTES

LIMIT_DEFAULT, LIMIT_MAX = 100, 10_000
SET_ASIDE_MAX = 1_000  # a record set aside can be 12 KB of text
HOURS_DEFAULT, DAY_MS = 1_000, 86_400_000
TEXT_CHARS_MAX = 2_048
CURSOR_CHARS_MAX = 512
INTEGER_MAX = (1 << 63) - 1

TEXT_FILTERS = ("region", "kind", "link", "host")
NAMES = (*TEXT_FILTERS, "visitor", "start", "end", "order", "direction", "limit", "cursor")
HOUR_NAMES = ("region", "start", "end", "limit")
TIME, ARRIVAL = "time", "arrival"
ASCENDING, DESCENDING = "asc", "desc"


class Place(NamedTuple):
    """Where a row stands, in either order."""

    time_ms: int
    batch: int
    idx: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which hits, in which order, from where, and how many."""

    texts: Mapping[str, str]
    visitor: bytes | None
    start_ms: int | None  # the first moment that belongs
    end_ms: int | None  # the first that does not any more
    order: str
    descending: bool
    limit: int
    after: Place | None

    def digest(self) -> str:
        """Name everything but place and limit: what a cursor was made for."""
        asked = (
            sorted(self.texts.items()),
            self.visitor and self.visitor.hex(),
            self.start_ms,
            self.end_ms,
            self.order,
            self.descending,
        )
        return blake2b(orjson.dumps(asked), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Which hours, of which region, and how many rows."""

    region: str | None
    start_ms: int
    end_ms: int
    limit: int


def read_question(given: Sequence[tuple[str, str]]) -> Question:
    """Read the parameters *given*, or refuse naming the first that is wrong."""
    told = _each_once(given)
    order = _choice(told, "order", (TIME, ARRIVAL))
    newest_first = (DESCENDING, ASCENDING) if order == TIME else (ASCENDING, DESCENDING)
    question = Question(
        texts={name: _text(told, name) for name in TEXT_FILTERS if name in told},
        visitor=_visitor(told),
        start_ms=_moment(told, "start"),
        end_ms=_moment(told, "end"),
        order=order,
        descending=_choice(told, "direction", newest_first) == DESCENDING,
        limit=_limit(told),
        after=None,
    )
    return _from_cursor(question, told["cursor"]) if "cursor" in told else question


def read_limit(given: Mapping[str, str]) -> int:
    """Read the only parameter of a list without pages, or refuse."""
    if unknown := sorted(set(given) - {"limit"}):
        msg = f"{unknown[0][:64]!r}: unknown; accepted is limit"
        raise RejectedError(msg)
    return _limit(given, SET_ASIDE_MAX)


def read_hours(given: Sequence[tuple[str, str]], now: int) -> Hours:
    """Read which hours are wanted, whole ones: without a start the last day before the end."""
    told = _each_once(given, HOUR_NAMES)
    start_ms, end_ms = _moment(told, "start"), _moment(told, "end")
    if start_ms is None:
        start_ms = (now if end_ms is None else end_ms) - DAY_MS
    return Hours(
        region=_text(told, "region") if "region" in told else None,
        start_ms=start_ms - start_ms % HOUR_MS,
        end_ms=INTEGER_MAX if end_ms is None else end_ms + -end_ms % HOUR_MS,
        limit=_limit({"limit": str(HOURS_DEFAULT)} | told),
    )


def write_cursor(question: Question, last: Place) -> str:
    """Return the cursor that goes on after *last*."""
    content = orjson.dumps([question.digest(), *last])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def rfc3339(moment_ms: int) -> str:
    """Write a moment with its milliseconds."""
    seconds, ms = divmod(moment_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def _each_once(
    given: Sequence[tuple[str, str]], accepted: tuple[str, ...] = NAMES
) -> dict[str, str]:
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


def _choice(told: Mapping[str, str], name: str, accepted: tuple[str, ...]) -> str:
    value = told.get(name, accepted[0])
    if value not in accepted:
        msg = f"{name}: want one of {', '.join(accepted)}"
        raise RejectedError(msg)
    return value


def _text(told: Mapping[str, str], name: str) -> str:
    value = told[name]
    # A query can be made to hold half a character, which no stored text has.
    if not 0 < len(value) <= TEXT_CHARS_MAX or not _is_text(value):
        msg = f"{name}: want a text of 1 to {TEXT_CHARS_MAX} characters"
        raise RejectedError(msg)
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _visitor(told: Mapping[str, str]) -> bytes | None:
    value = told.get("visitor")
    if value is None:
        return None
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * HASH_BYTES}}}", value):
        msg = f"visitor: want {2 * HASH_BYTES} hex digits"
        raise RejectedError(msg)
    return bytes.fromhex(value)


def _moment(told: Mapping[str, str], name: str) -> int | None:
    value = told.get(name)
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{name}: want RFC 3339 such as 2026-01-31T12:00:00Z, or milliseconds since 1970"
        raise RejectedError(msg)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _limit(told: Mapping[str, str], most: int = LIMIT_MAX) -> int:
    value = told.get("limit", str(LIMIT_DEFAULT))
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= most:
        msg = f"limit: want a whole number, 1 to {most}"
        raise RejectedError(msg)
    return int(value)


def _from_cursor(question: Question, text: str) -> Question:
    content: Any = None
    if len(text) <= CURSOR_CHARS_MAX:
        try:
            content = orjson.loads(
                base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            )
        except (binascii.Error, ValueError):
            content = None
    match content:
        case [str(made_for), int(time_ms), int(batch), int(index)] if (
            made_for == question.digest()
            and all(0 <= number <= INTEGER_MAX for number in (time_ms, batch, index))
        ):
            return replace(question, after=Place(time_ms, batch, index))
    msg = "cursor: want the `next` of an earlier answer to the same question"
    raise RejectedError(msg)
