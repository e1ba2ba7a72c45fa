"""Cleaning up after grants: every id reaches the backend at least once, and none is forgotten.

What is due stands in the database; what is in memory here is only whose turn it is.
So a process that dies forgets nothing: what it had not settled is due as before,
and is called for again.
"""

from collections import Counter
from typing import Protocol

from link_registry.grants.store import GrantStore
from link_registry.grants.turns import Due, Turns
from link_registry.metrics import CLEANUPS
from link_registry.news import News
from milepost.clock import Clock, Entropy
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

DONE, FAILED = "done", "failed"
TRIES_MAX = 3
PAUSE_SECONDS, PAUSE_FACTOR = 0.5, 2.0
LOOK_SECONDS = 1.0  # between looks for what is due
SUM_SECONDS = 60.0
LOOKED_AT_MAX, LOOKED_AT_OF_EACH = 256, 32  # slow grants and others each


class Deleter(Protocol):
    """Who can have things deleted."""

    async def delete(self, cleanup_id: str) -> str:
        """Have one thing deleted; return an empty text, or why that failed."""
        ...


def pause_seconds(tries: int, dice: float) -> float:
    """Return how long to wait after so many *tries*; *dice* lies in [0, 1).

    The dice keep calls that failed together from coming back together.
    """
    return PAUSE_SECONDS * PAUSE_FACTOR ** (tries - 1) * (0.5 + dice / 2)


class Cleaner:
    """Works off what is due, by as many callers side by side as `call` is run."""

    def __init__(self, store: GrantStore, backend: Deleter, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._backend = backend
        self._clock = clock
        self._entropy = entropy
        self._turns = Turns()
        self._news = News()
        self._outcomes: Counter[str] = Counter()

    async def look(self) -> float:
        """Look for what is due; return in how many seconds to do so again."""
        now, due = self._clock.now(), list[Due]()
        try:
            for slow in (False, True):
                due += await self._store.due(
                    now, slow=slow, of_each=LOOKED_AT_OF_EACH, limit=LOOKED_AT_MAX
                )
        except ServiceError as error:
            log.warning("step.failed", step="cleanups", code=error.code, reason=str(error))
        else:
            self._turns.offer(due)
            self._news.announce()
        return LOOK_SECONDS

    async def sum_up(self) -> float:
        """Log what came of the runs since the last time; return when to do so again."""
        if self._outcomes:
            log.info("cleanups.processed", done=self._outcomes[DONE], failed=self._outcomes[FAILED])
            self._outcomes.clear()
        return SUM_SECONDS

    async def call(self) -> float:
        """Have one thing cleaned up, once there is one; return in how many seconds to go on."""
        due = await self._taken()
        try:
            # What was looked up a moment ago may have been settled since.
            if await self._store.is_due(due, self._clock.now()):
                await self._settle(due, await self._tried(due))
        except ServiceError as error:  # it is due still, and called for again
            log.warning("step.failed", step="cleanup", code=error.code, reason=str(error))
            return LOOK_SECONDS
        finally:
            self._turns.ended(due)
            self._news.announce()  # there is room for another
        return 0.0

    async def _taken(self) -> Due:
        """Return what to call for, once there is something with room for it."""
        while True:
            news = self._news.next()
            due = self._turns.take()
            if due is not None:
                return due
            await news.wait()

    async def _tried(self, due: Due) -> str:
        """Return an empty text once a try succeeded, or why the last one failed."""
        reason = await self._backend.delete(due.id)
        for tries in range(1, TRIES_MAX):
            if not reason:
                break
            await self._clock.sleep(pause_seconds(tries, self._entropy(1)[0] / 256))
            reason = await self._backend.delete(due.id)
        return reason

    async def _settle(self, due: Due, reason: str) -> None:
        now, outcome = self._clock.now(), FAILED if reason else DONE
        if reason:
            await self._store.failed(due, reason, now)
            if not due.failures:  # later ones are in the sums
                log.warning("cleanup.failed", grant=due.grant, reason=reason)
        elif await self._store.done(due, now):
            log.info("grant.cleaned", grant=due.grant)
        self._outcomes[outcome] += 1
        CLEANUPS.labels(outcome).inc()
