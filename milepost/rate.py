"""How often one caller may ask: a bucket of calls that fills up again with time.

Rules of this file:
- Pure but for its own state.  Who asks and what time it is, the caller says.
- Callers have the names of tokens, so there are only so many buckets.
"""

import math
from dataclasses import dataclass

from milepost.errors import TooManyError
from milepost.vocabulary import Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many calls, or whatever is counted, one caller may have on average, and at once."""

    per_second: float
    burst: int  # at least what one call may cost
    what: str = "calls"

    @property
    def window_seconds(self) -> int:
        """Return in how many seconds an empty bucket is full again."""
        return max(1, round(self.burst / self.per_second))


def per_minute(calls: int) -> Rate:
    """Return the rate of *calls* a minute, all of them at once if need be."""
    return Rate(per_second=calls / 60, burst=calls)


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of one caller's bucket."""

    rate: Rate
    calls: int
    seconds: int  # until there is one more; 0: the bucket is full


class RateLimit:
    """One bucket for each caller, full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._levels: dict[str, tuple[float, Millis]] = {}

    def take(self, who: str, now: Millis, cost: int = 1, rate: Rate | None = None) -> None:
        """Take *cost* out of *who*'s bucket, or refuse and say when there will be so much.

        With *rate*, the caller's own counts.
        """
        rate = rate or self._rate
        level = self._level(who, now, rate)
        granted = level >= cost
        self._levels[who] = (level - cost if granted else level, now)
        if not granted:
            seconds = math.ceil((cost - level) / rate.per_second)
            msg = (
                f"more than {rate.burst} {rate.what} at once and "
                f"{rate.per_second:g} a second: ask again in {seconds} s"
            )
            raise TooManyError(msg, retry_after_seconds=seconds)

    def left(self, who: str, now: Millis, rate: Rate | None = None) -> Left:
        """Return what is left of *who*'s bucket; takes nothing."""
        rate = rate or self._rate
        level = self._level(who, now, rate)
        calls = math.floor(level)
        missing = 0.0 if calls >= rate.burst else calls + 1 - level
        return Left(rate, calls, math.ceil(missing / rate.per_second))

    def _level(self, who: str, now: Millis, rate: Rate) -> float:
        level, at = self._levels.get(who, (float(rate.burst), now))
        # A clock that was set back fills nothing, and is believed from here on.
        gained = max(0, now - at) / 1000 * rate.per_second
        return min(float(rate.burst), level + gained)
