"""Outcomes since the batch before, per hour: what becomes the next batch's tally.

Rules of this file:
- Pure but for its own state.
"""

from collections import Counter
from collections.abc import Sequence

from milepost.batch import Tally, TallyRow, hour_of
from milepost.record import Record
from milepost.vocabulary import Millis


class Counts:
    """Counts what no batch has told yet."""

    def __init__(self) -> None:
        self._late: Counter[int] = Counter()
        self._shed: Counter[int] = Counter()
        self._excluded: Counter[int] = Counter()

    def late(self, moment: Millis) -> None:
        """Count a record whose answer has gone before its commit."""
        self._late[hour_of(moment)] += 1

    def shed(self, moment: Millis) -> None:
        """Count a visit that was answered but not kept."""
        self._shed[hour_of(moment)] += 1

    def excluded(self, moment: Millis) -> None:
        """Count a visit that is by rule not recorded."""
        self._excluded[hour_of(moment)] += 1

    def pending(self) -> bool:
        """Tell whether there is something to tell."""
        return bool(self._late or self._shed or self._excluded)

    def take(self, records: Sequence[Record]) -> Tally:
        """Return the tally of a batch of *records*, and begin anew."""
        recorded = Counter(hour_of(record.time) for record in records)
        late, shed, excluded = self._late, self._shed, self._excluded
        self._late, self._shed, self._excluded = Counter(), Counter(), Counter()
        return tuple(
            TallyRow(hour, recorded[hour], late[hour], shed[hour], excluded[hour])
            for hour in sorted({*recorded, *late, *shed, *excluded})
        )
