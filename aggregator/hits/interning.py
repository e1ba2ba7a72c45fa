"""Which id a string has: a bounded memory of what the database says.

Filled only with what has been committed, because an id that was rolled back is
given to another string later.  Two halves, so that what is used costs no
ordering: what was not used while one half filled up is forgotten.
"""

from collections.abc import Iterable, Mapping

CHARS_MAX = 256  # longer strings rarely come twice


class TextCache:
    """The ids of the strings that were used last."""

    def __init__(self, entries_max: int) -> None:
        self._half = entries_max // 2
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}

    def get(self, value: str) -> int | None:
        """Return the id of *value* if it is remembered."""
        found = self._newer.get(value)
        if found is None and (found := self._older.get(value)) is not None:
            self._keep(value, found)
        return found

    def remember(self, committed: Mapping[str, int]) -> None:
        """Keep *committed* ids, and forget those that were not used for long."""
        for value, found in committed.items():
            if len(value) <= CHARS_MAX:
                self._keep(value, found)

    def forget(self, values: Iterable[str]) -> None:
        """Forget *values*, which the database does not have any more."""
        for value in values:
            self._newer.pop(value, None)
            self._older.pop(value, None)

    def _keep(self, value: str, found: int) -> None:
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        self._newer[value] = found
