"""What may be asked of `GET /v1/hits`: parameters in, a question out; and its cursors.

A cursor is a place in the order, not a number of rows to skip: whatever is inserted or
removed meanwhile, no row is told twice or left out.  It carries what it was made for, and
counts for nothing else.  Times that are told from now stay what they were on the first page.

Rules of this file:
- Pure.
- Every refusal names the parameter and what it accepts.
- Parameters that a call does not have were refused before, by the table of calls.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from aggregator.asking import filters
from aggregator.asking.filters import INTEGER_MAX, Filter, read_filters
from aggregator.asking.times import read_moment, read_zone
from milepost.errors import RejectedError

LIMIT_DEFAULT, LIMIT_MAX = 100, 10_000
CURSOR_CHARS_MAX = 512
INTEGER_MIN = -(1 << 63)

SPAN = ("start", "end", "tz")
SELECTING = (*filters.NAMES, *SPAN)  # which hits
TIME, ARRIVAL = "time", "arrival"
ASCENDING, DESCENDING = "asc", "desc"
AFTER, BEFORE = "after", "before"

Told = Mapping[str, Sequence[str]]


class Place(NamedTuple):
    """Where a row stands, in either order."""

    time_ms: int
    batch: int
    idx: int


class Cursor(NamedTuple):
    """A place in the order of a question, which is on one side of the rows that are wanted."""

    way: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which hits."""

    filters: tuple[Filter, ...] = ()
    start_ms: int = INTEGER_MIN  # the first moment that belongs
    end_ms: int = INTEGER_MAX  # the first that does not any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Which rows the search is to find: the nearest after a place, in one direction."""

    selection: Selection
    by_arrival: bool
    descending: bool
    limit: int
    after: Place | None = None
    upto: int = INTEGER_MAX  # no batch beyond this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which hits, in which order, from where, and how many."""

    selection: Selection
    order: str
    descending: bool
    limit: int
    now_ms: int  # as it was on the first page
    digest: str  # names all but place, limit and shape: what a cursor was made for
    cursor: Cursor | None = None

    @property
    def backwards(self) -> bool:
        """Tell whether the rows before a place are wanted."""
        return self.cursor is not None and self.cursor.way == BEFORE

    def want(self) -> Want:
        """Return what to search for; backwards it comes in the opposite order."""
        return Want(
            selection=self.selection,
            by_arrival=self.order == ARRIVAL,
            descending=self.descending != self.backwards,
            limit=self.limit,
            after=self.cursor and self.cursor.place,
        )


class Cursors(NamedTuple):
    """Where one can go on from a page."""

    next: str | None
    previous: str | None
    newer: str | None = None


def read_selection(told: Told, now_ms: int) -> Selection:
    """Read which hits are wanted, or refuse naming the first parameter that is wrong."""
    zone = read_zone("tz", one(told, "tz", "UTC"))
    moments = {
        f"{name}_ms": read_moment(name, one(told, name), now_ms=now_ms, zone=zone)
        for name in ("start", "end")
        if name in told
    }
    named = {name: values for name, values in told.items() if name in filters.NAMES}
    return Selection(filters=read_filters(named), **moments)


def read_question(told: Told, now_ms: int) -> Question:
    """Read the parameters *told*, or refuse naming the first that is wrong."""
    order = choice(told, "order", (TIME, ARRIVAL))
    first = (DESCENDING, ASCENDING) if order == TIME else (ASCENDING, DESCENDING)
    descending = choice(told, "direction", first) == DESCENDING
    digest = _digest(told, order, descending=descending)
    cursor: Cursor | None = None
    if "cursor" in told:
        now_ms, cursor = _read_cursor(one(told, "cursor"), digest)
    return Question(
        selection=read_selection(told, now_ms),
        order=order,
        descending=descending,
        limit=read_limit(told, LIMIT_DEFAULT, LIMIT_MAX),
        now_ms=now_ms,
        digest=digest,
        cursor=cursor,
    )


def one(told: Told, name: str, default: str = "") -> str:
    """Return the only value of *name*."""
    values = told.get(name, (default,))
    if len(values) != 1:
        msg = f"{name}: given twice; accepted is one value"
        raise RejectedError(msg)
    return values[0]


def choice(told: Told, name: str, accepted: Sequence[str]) -> str:
    """Return the value of *name*, which is one of *accepted*, the first if it is not told."""
    value = one(told, name, accepted[0])
    if value not in accepted:
        msg = f"{name}: want one of {', '.join(accepted)}"
        raise RejectedError(msg)
    return value


def read_limit(told: Told, default: int, most: int) -> int:
    """Return how many are wanted, *most* at most."""
    text = one(told, "limit", str(default))
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= most:
        msg = f"limit: want a whole number, 1 to {most}"
        raise RejectedError(msg)
    return int(text)


def cursors_of(question: Question, page: Sequence[Place], *, more: bool, newest: int) -> Cursors:
    """Return the cursors of a *page*, behind which there may be *more* in its direction.

    *newest* is the last batch that was visible.
    """
    first = _beside(question, page[0] if page else None, BEFORE)
    last = _beside(question, page[-1] if page else None, AFTER)
    forth = last if more or question.backwards else None
    back = first if more or not question.backwards else None
    if question.cursor is None:
        back = None
    newer: Cursor | None = None
    if question.order == ARRIVAL:
        newer = _newer(question, (first, last), more=more, newest=newest)
    return Cursors(*(each and _written(question, each) for each in (forth, back, newer)))


def _newer(
    question: Question,
    sides: tuple[Cursor | None, Cursor | None],
    *,
    more: bool,
    newest: int,
) -> Cursor | None:
    """Return a place from which nothing that becomes visible later is missed."""
    way = BEFORE if question.descending else AFTER
    at_newest = question.cursor is None if question.descending else False
    if question.want().descending is False:
        at_newest = not more  # all that has come is told
    if at_newest:
        return Cursor(way, Place(0, newest, INTEGER_MAX))
    return sides[0] if question.descending else sides[1]


def _beside(question: Question, place: Place | None, way: str) -> Cursor | None:
    """Return a cursor beside *place*; where there was no row, on the other side of the old one."""
    if place is not None:
        return Cursor(way, place)
    if question.cursor is None or question.cursor.way == way:
        return question.cursor
    old = question.cursor.place
    # The row at the old place belongs to the other side: it is stepped over.
    step = 1 if question.descending != (way == BEFORE) else -1
    return Cursor(way, old._replace(idx=min(max(old.idx + step, -1), INTEGER_MAX)))


def _written(question: Question, cursor: Cursor) -> str:
    content = orjson.dumps([question.digest, question.now_ms, cursor.way, *cursor.place])
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _read_cursor(text: str, digest: str) -> tuple[int, Cursor]:
    content: Any = None
    if len(text) <= CURSOR_CHARS_MAX:
        try:
            content = orjson.loads(
                base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            )
        except (binascii.Error, ValueError):
            content = None
    match content:
        case [str(made_for), int(now_ms), str(way), int(time_ms), int(batch), int(index)] if (
            made_for == digest
            and way in {AFTER, BEFORE}
            and all(-1 <= number <= INTEGER_MAX for number in (now_ms, batch, index))
            and INTEGER_MIN <= time_ms <= INTEGER_MAX
        ):
            return now_ms, Cursor(way, Place(time_ms, batch, index))
    msg = "cursor: want `next`, `previous` or `newer` of an earlier answer to the same question"
    raise RejectedError(msg)


def _digest(told: Told, order: str, *, descending: bool) -> str:
    asked = sorted((name, [*values]) for name, values in told.items() if name in SELECTING)
    try:
        content = orjson.dumps([asked, order, descending])
    except TypeError:
        content = b""  # half a character, which its filter refuses
    return blake2b(content, digest_size=8).hexdigest()
