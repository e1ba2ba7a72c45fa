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
    """How many calls, or whatever is counted, one caller may have on average, and at once."""

    per_second: float
    burst: int  # at least what one call may cost
    what: str = "calls"


class RateLimit:
    """One bucket for each caller, full at first."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._levels: dict[str, tuple[float, Millis]] = {}

    def take(self, who: str, now: Millis, cost: int = 1) -> None:
        """Take *cost* out of *who*'s bucket, or refuse and say when there will be so much."""
        level, at = self._levels.get(who, (float(self._rate.burst), now))
        # A clock that was set back fills nothing, and is believed from here on.
        gained = max(0, now - at) / 1000 * self._rate.per_second
        level = min(float(self._rate.burst), level + gained)
        granted = level >= cost
        self._levels[who] = (level - cost if granted else level, now)
        if not granted:
            seconds = math.ceil((cost - level) / self._rate.per_second)
            msg = (
                f"more than {self._rate.burst} {self._rate.what} at once and "
                f"{self._rate.per_second:g} a second: ask again in {seconds} s"
            )
            raise TooManyError(msg, retry_after_seconds=seconds)
