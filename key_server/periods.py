"""Periods: where one epoch ends and the next begins, and which ones are due.

Everybody agrees on epochs through the published list, never by computing them,
so this file alone knows the calendar.  Epochs touch: from the first one made
on, each moment belongs to exactly one, whatever was slept through and however
the period was changed in between.

Rules of this file:
- Pure.  UTC throughout; spans are half-open, [start, end).
- What is held stays as it is: a new period shapes only what is made from now on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from milepost.errors import ConfigError
from milepost.vocabulary import Epoch, Millis

AHEAD = 48
FIRST_EPOCH = Epoch(1)
SECONDS_MIN, SECONDS_MAX = 2, 366 * 24 * 60 * 60
NEAR_MS = 10 * 60 * 1000

DAY, WEEK, MONTH = "day", "week", "month"
AHEAD_STATE, ACTIVE_STATE, PAST_STATE = "ahead", "active", "past"


@dataclass(frozen=True, slots=True)
class Period:
    """How long epochs last: a calendar unit, or a number of seconds."""

    unit: str
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """An epoch's number and when it is."""

    number: Epoch
    start_ms: Millis
    end_ms: Millis

    def holds(self, moment: Millis) -> bool:
        """Tell whether *moment* belongs to the epoch."""
        return self.start_ms <= moment < self.end_ms


def parse_period(text: str) -> Period:
    """Read `day`, `week`, `month` or seconds such as `90s`, or refuse."""
    if text in {DAY, WEEK, MONTH}:
        return Period(text)
    match = re.fullmatch(r"([0-9]{1,9})s", text)
    if match and SECONDS_MIN <= int(match[1]) <= SECONDS_MAX:
        return Period("seconds", int(match[1]))
    msg = f"want day, week, month or {SECONDS_MIN}s..{SECONDS_MAX}s, got {text!r}"
    raise ConfigError(msg)


def boundaries(moment: Millis, period: Period) -> tuple[Millis, Millis]:
    """Return the last boundary of *period* at or before *moment*, and the next one."""
    if period.seconds:
        length = period.seconds * 1000
        start = moment - moment % length
        return Millis(start), Millis(start + length)
    day = datetime.fromtimestamp(moment // 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    if period.unit == WEEK:
        monday = day - timedelta(days=day.weekday())
        return _millis(monday), _millis(monday + timedelta(days=7))
    if period.unit == MONTH:
        first = day.replace(day=1)
        # The 1st and 32 days always lie in neighbouring months.
        return _millis(first), _millis((first + timedelta(days=32)).replace(day=1))
    return _millis(day), _millis(day + timedelta(days=1))


def plan(held: Sequence[Span], now: Millis, period: Period, ahead: int = AHEAD) -> tuple[Span, ...]:
    """Return the epochs to make, so that the one that holds *now* and *ahead* more exist.

    *held* is in order.  If all of it is over, the first new epoch begins where
    the last one ended, however long ago: one epoch closes any gap.
    """
    made: list[Span] = []
    last = held[-1] if held else None
    missing = ahead - count_ahead(held, now)
    while missing > 0:
        last = _next(last, now, period)
        made.append(last)
        missing -= last.start_ms > now
    return tuple(made)


def _next(last: Span | None, now: Millis, period: Period) -> Span:
    if last is None:
        return Span(FIRST_EPOCH, *boundaries(now, period))
    _, end = boundaries(max(last.end_ms, now), period)
    return Span(Epoch(last.number + 1), last.end_ms, end)


def cut_short(held: Sequence[Span], now: Millis) -> tuple[Span, ...]:
    """Return the spans that change when the epoch that holds *now* ends at once.

    The next one begins now and ends where the cut one would have.  The bounds
    after that stay, and each later epoch takes those of the one before it; so the
    last bounds are free, and `plan` gives them to a new one.
    """
    places = [index for index, span in enumerate(held) if span.holds(now)]
    if not places or held[places[0]].start_ms == now:
        return ()
    cut = held[places[0]]
    bounds = [(cut.start_ms, now), (now, cut.end_ms)]
    bounds += [(span.start_ms, span.end_ms) for span in held[places[0] + 1 :]]
    later = held[places[0] :]
    return tuple(Span(span.number, *bound) for span, bound in zip(later, bounds, strict=False))


def count_ahead(held: Sequence[Span], now: Millis) -> int:
    """Return how many epochs have yet to begin."""
    return sum(span.start_ms > now for span in held)


def current(held: Sequence[Span], now: Millis) -> Span | None:
    """Return the epoch that holds *now*, if there is one."""
    return next((span for span in held if span.holds(now)), None)


def salts_due(held: Sequence[Span], now: Millis) -> tuple[Epoch, ...]:
    """Name the epochs whose salts an edge may have: the current one, and the next when near."""
    active = current(held, now)
    if active is None:
        return ()
    near = min(NEAR_MS, (active.end_ms - active.start_ms) // 2)
    return tuple(
        span.number
        for span in held
        if span == active or (span.start_ms == active.end_ms and active.end_ms - now <= near)
    )


def state(span: Span, now: Millis) -> str:
    """Tell where *span* stands."""
    if now < span.start_ms:
        return AHEAD_STATE
    return ACTIVE_STATE if now < span.end_ms else PAST_STATE


def _millis(moment: datetime) -> Millis:
    return Millis(int(moment.timestamp()) * 1000)
