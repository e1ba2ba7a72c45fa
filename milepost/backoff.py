"""How long to wait before a process that died is started again.

Rules of this file:
- Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Doubles while a process keeps dying; begins anew once it has lived for a while."""

    first_seconds: float = 0.2
    seconds_max: float = 5.0
    healthy_seconds: float = 10.0

    def after(self, pause: float, alive_seconds: float) -> float:
        """Return the next pause, the last one having been *pause* (0: there was none)."""
        if not pause or alive_seconds >= self.healthy_seconds:
            return self.first_seconds
        return min(2 * pause, self.seconds_max)
