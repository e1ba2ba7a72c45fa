"""Steady time: how far a clock is to be believed before something is destroyed by it.

A clock that is set ahead by mistake must not destroy the salts of the present.
So the wall clock is held against a counter that nobody sets, which goes on
while the machine sleeps.  As long as the two advance alike, the wall clock is
believed.  When it runs ahead of the counter by more than a bound, the counter
is believed instead, until the clock has stayed where it is for a real while.
A second clock that agrees is as good as that while.

Rules of this file:
- Pure.  Wall clock and counter are given, both in milliseconds.
- Back is believed at once: at worst something is destroyed later.
"""

from dataclasses import dataclass, replace

from milepost.vocabulary import Millis

AHEAD_MS_MAX = 5 * 60 * 1000  # two clocks that agree differ by less
CONFIRM_MS = 10 * 60 * 1000  # how long a clock that jumped must stay where it is


@dataclass(frozen=True, slots=True)
class Leap:
    """A wall clock that is ahead of what is believed: by how much, and when that was first seen."""

    offset_ms: int
    seen_ms: int  # by the counter


@dataclass(frozen=True, slots=True)
class Steady:
    """What is believed: the wall clock is the counter plus an offset."""

    offset_ms: int
    leap: Leap | None = None

    def looked(self, wall: Millis, counter_ms: int) -> "Steady":
        """Return what is believed after a look at both."""
        offset_ms = wall - counter_ms
        if offset_ms <= self.offset_ms:
            return Steady(offset_ms)
        if offset_ms <= self.offset_ms + AHEAD_MS_MAX:
            return replace(self, leap=None)
        if self.leap is None or abs(offset_ms - self.leap.offset_ms) > AHEAD_MS_MAX:
            return replace(self, leap=Leap(offset_ms, counter_ms))
        if counter_ms - self.leap.seen_ms < CONFIRM_MS:
            return self
        return Steady(offset_ms)

    def confirmed(self, wall: Millis, counter_ms: int) -> "Steady":
        """Return what is believed when another machine's clock says the same as *wall*."""
        return Steady(wall - counter_ms)

    def moment(self, wall: Millis, counter_ms: int) -> Millis:
        """Return the moment by which something may be destroyed: never later than *wall*."""
        return wall if self.leap is None else Millis(min(wall, self.offset_ms + counter_ms))


def begin(wall: Millis, trace_ms: Millis, counter_ms: int) -> Steady:
    """Return what is believed at start: nothing beyond the newest trace that time has left on disk.

    After a long rest the clock is rightly far ahead of it; that takes a while to be believed.
    """
    return Steady(min(wall, trace_ms) - counter_ms).looked(wall, counter_ms)


def agree(one: Millis, other: Millis) -> bool:
    """Tell whether two clocks say the same."""
    return abs(one - other) < AHEAD_MS_MAX
