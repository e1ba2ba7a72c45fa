"""Which id a string has: a bounded memory of what the database says.

Filled only with what has been committed, because an id that was rolled back is
given to another string later.
"""

from collections import OrderedDict
from collections.abc import Mapping

CHARS_MAX = 256  # longer strings rarely come twice


class TextCache:
    """The ids of the strings that were used last."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._ids: OrderedDict[str, int] = OrderedDict()

    def get(self, value: str) -> int | None:
        """Return the id of *value* if it is remembered."""
        found = self._ids.get(value)
        if found is not None:
            self._ids.move_to_end(value)
        return found

    def remember(self, committed: Mapping[str, int]) -> None:
        """Keep *committed* ids, and forget those that were not used for longest."""
        for value, found in committed.items():
            if len(value) <= CHARS_MAX:
                self._ids[value] = found
        while len(self._ids) > self._entries_max:
            self._ids.popitem(last=False)
