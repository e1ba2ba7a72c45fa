"""Whose turn it is to be cleaned up.

Rules of this file:
- Pure.
- Grants take turns, and of one grant only so many calls run at a time: many ids of one
  grant that hang hold up its own others, and nobody else's.
- A grant of which something failed in an earlier run is slow: all of these together get a
  part of the calls, so that a backend which hangs for them leaves room for what comes new.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from milepost.vocabulary import GrantId

CALLS_MAX = 32
CALLS_OF_EACH_MAX = 4
SLOW_CALLS_MAX = 12


@dataclass(frozen=True, slots=True)
class Due:
    """One thing that is to be cleaned up now."""

    grant: GrantId
    id: str
    failures: int
    slow: bool  # something of its grant has failed before


class Turns:
    """What waits for a call, and what has one."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[GrantId, list[Due]] = OrderedDict()
        self._running: set[tuple[GrantId, str]] = set()
        self._of_each: Counter[GrantId] = Counter()
        self._slow = 0

    def offer(self, due: Iterable[Due]) -> None:
        """Let what is *due* wait, in the place of what waited until now.

        Who waited longest keeps their place in front.
        """
        fresh: dict[GrantId, list[Due]] = {}
        for each in due:
            if (each.grant, each.id) not in self._running:
                fresh.setdefault(each.grant, []).append(each)
        order = [grant for grant in self._waiting if grant in fresh]
        order += [grant for grant in fresh if grant not in self._waiting]
        self._waiting = OrderedDict((grant, fresh[grant]) for grant in order)

    def take(self) -> Due | None:
        """Return what to call for now; None when there is nothing, or no room for it.

        It is of the grant with the fewest calls; of several, of the one that waited longest.
        """
        usable = [grant for grant, waiting in self._waiting.items() if self._has_room(waiting[0])]
        if not usable:
            return None
        grant = min(usable, key=lambda each: self._of_each[each])
        return self._taken(grant, self._waiting[grant].pop(0))

    def ended(self, due: Due) -> None:
        """Take note that the call for *due* is over."""
        self._running.discard((due.grant, due.id))
        self._of_each[due.grant] -= 1
        if not self._of_each[due.grant]:
            del self._of_each[due.grant]
        self._slow -= due.slow

    def _has_room(self, due: Due) -> bool:
        if self._of_each[due.grant] >= CALLS_OF_EACH_MAX:
            return False
        return not due.slow or self._slow < SLOW_CALLS_MAX

    def _taken(self, grant: GrantId, due: Due) -> Due:
        self._running.add((due.grant, due.id))
        self._of_each[grant] += 1
        self._slow += due.slow
        self._waiting.move_to_end(grant)
        if not self._waiting[grant]:
            del self._waiting[grant]
        return due
