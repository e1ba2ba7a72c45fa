"""When a combined database begins a new generation.

Edges keep what has been acknowledged for a while only, and believe the highest
generation they have seen.  So a database that is not what its mark was written for
(`milepost.mark`) begins a higher one.

Rules of this file:
- Pure.
"""

from dataclasses import dataclass

from milepost.mark.rules import Held
from milepost.vocabulary import Generation, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What is in a combined database."""

    generation: Generation | None  # None: it was just made
    batch: int  # the highest number of one that has been applied

    @property
    def held(self) -> Held:
        """Return the same as marks compare it."""
        return Held(
            name=None if self.generation is None else str(self.generation), height=self.batch
        )


def next_generation(before: Generation | None, now: Millis) -> Generation:
    """Return the generation that begins *now*: higher than *before*, whatever the clock says."""
    return Generation(max(now, (before or 0) + 1))
