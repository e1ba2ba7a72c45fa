"""How often one caller may ask: a bucket of calls that fills up again with time.

Rules of this file:
- Pure but for its own state.  Who asks and what time it is, the caller says.
- Callers have names from a tokens file, so there are only so many buckets.
"""

import math
from dataclasses import dataclass

from milepost.errors import TooManyError
from milepost.vocabulary import Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many calls one caller may make on average, and how many at once."""

    per_second: float
    burst: int


class RateLimit:
    """One bucket for each caller, full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._levels: dict[str, tuple[float, Millis]] = {}

    def take(self, who: str, now: Millis) -> None:
        """Take one call out of *who*'s bucket, or refuse and say when there will be one."""
        level, at = self._levels.get(who, (float(self._rate.burst), now))
        # A clock that was set back fills nothing, and is believed from here on.
        gained = max(0, now - at) / 1000 * self._rate.per_second
        level = min(float(self._rate.burst), level + gained)
        granted = level >= 1.0
        self._levels[who] = (level - 1.0 if granted else level, now)
        if not granted:
            seconds = math.ceil((1.0 - level) / self._rate.per_second)
            msg = (
                f"more than {self._rate.burst} calls at once and {self._rate.per_second:g} a "
                f"second: ask again in {seconds} s"
            )
            raise TooManyError(msg, retry_after_seconds=seconds)
