"""How much work one question may cost.

Rules of this file:
- Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from milepost.errors import TooBroadError

ON_TIME = 0.8  # of the time there is: what was found by then is told rather than lost


@dataclass(slots=True, kw_only=True)
class Budget:
    """Rows that may still be looked at, and until when."""

    rows: int
    until: float
    seconds: Callable[[], float]  # since some moment; nobody can set it

    def allows(self, rows: int) -> bool:
        """Take *rows* off, unless there is nothing left."""
        if self.rows <= 0 or self.seconds() > self.until:
            return False
        self.rows -= rows
        return True

    def ended(self) -> TooBroadError:
        """Return what to tell whoever got nothing for it."""
        return TooBroadError(
            "too many hits would have to be looked at: narrow start and end, or ask for another "
            "value that is rare"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What each question may cost."""

    rows: int
    seconds: float

    def begin(self, seconds: Callable[[], float]) -> Budget:
        """Return the budget of a question that begins now."""
        return Budget(rows=self.rows, until=seconds() + self.seconds * ON_TIME, seconds=seconds)
