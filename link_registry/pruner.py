"""Forgetting changes, and abandoned grants, that nobody needs any more.

What edges may resume from stays, however old it is; and so does the newest change,
from which the next one's position follows.
"""

from link_registry.grants.abandoning.store import AbandonStore
from link_registry.pages import CHANGES_BEHIND_MAX
from link_registry.store import LinkStore
from milepost.clock import Clock
from milepost.logs import get_log
from milepost.vocabulary import Millis

log = get_log(__name__)

PRUNE_SECONDS = 600.0
CHANGES_AT_ONCE = 2_000  # a change that is made meanwhile waits for so many
GRANTS_AT_ONCE = 100
NEWEST_KEPT = 2 * CHANGES_BEHIND_MAX  # some are made while an edge that resumes is served
PAUSE_SECONDS = 0.1
DAY_MS = 24 * 60 * 60 * 1_000


class Pruner:
    """Keeps the changes of so many days."""

    def __init__(
        self, store: LinkStore, clock: Clock, days: int, *, newest: int = NEWEST_KEPT
    ) -> None:
        self._store = store
        self._abandoned = AbandonStore(store)
        self._clock = clock
        self._keep_ms = days * DAY_MS
        self._newest = newest

    async def step(self) -> None:
        """Forget what is too old."""
        forgotten = 0
        while done := await self._store.prune(
            Millis(self._clock.now() - self._keep_ms), newest=self._newest, at_once=CHANGES_AT_ONCE
        ):
            forgotten += done
            await self._clock.sleep(PAUSE_SECONDS)
        while done := await self._abandoned.forget(
            Millis(self._clock.now() - self._keep_ms), GRANTS_AT_ONCE
        ):
            log.info("grants.pruned", grants=done)
            await self._clock.sleep(PAUSE_SECONDS)
        if forgotten:
            log.info("changes.pruned", changes=forgotten)
