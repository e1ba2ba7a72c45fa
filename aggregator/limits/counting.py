"""Counting clicks against their limits, round after round.

What holds after each step of a round:
1. counted: totals, and the place up to which they hold, moved in one transaction;
2. told: the registry has the totals, and has disabled what had had enough.

A round that ends early is made up for by the next: totals can be told any number of
times.  So a link gets more clicks than its limit for one round at most, and for as long
as clicks take to come here.
"""

from aggregator import metrics
from aggregator.limits.rules import Limited, Page, page_from, to_tell
from aggregator.limits.store import LimitStore
from aggregator.pulling.pace import pause_seconds
from milepost.client import Client
from milepost.clock import Entropy
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

EVERY_SECONDS = 2.0
MORE_SECONDS = 0.1  # between rounds while there is a backlog
SLICES_MAX = 20  # in one round: about a second of work, and then what was counted is told
LINKS_PAGE = "1000"


class LimitCounter:
    """Counts the clicks of limited links, and has the registry end those that had enough."""

    def __init__(self, client: Client, store: LimitStore, entropy: Entropy) -> None:
        self._client = client
        self._store = store
        self._entropy = entropy
        self._failures = 0
        self._last_error = ""

    def notes(self) -> dict[str, str]:
        """Return what a person may want to know about click limits."""
        return {"limits": f"clicks are not limited: {self._last_error}"} if self._failures else {}

    async def step(self) -> float:
        """Make one round; return how many seconds to wait."""
        try:
            more = await self.round()
        except ServiceError as error:
            metrics.LIMIT_ERRORS.inc()
            log.warning("limits.failed", code=error.code, reason=str(error))
            self._failures, self._last_error = self._failures + 1, str(error)
            pause = pause_seconds(self._failures, self._entropy(1)[0] / 256)
            return max(EVERY_SECONDS, pause)
        self._failures = 0
        return MORE_SECONDS if more else EVERY_SECONDS

    async def round(self) -> bool:
        """Count what has come, then tell it; tell whether a backlog is left."""
        more = await self._count()
        links, following = 0, ""
        while True:
            page = await self._page(following)
            await self._store.enlist([each.id for each in page.links])
            await self._tell(page.links)
            links += len(page.links)
            if page.following in ("", following):
                break
            following = page.following
        metrics.LIMITED.set(links)
        return more

    async def _count(self) -> bool:
        """Count slices, in turn what is new and what a link had before it got a limit."""
        for _ in range(SLICES_MAX):
            more, behind = await self._store.advance(), await self._store.catch_up()
            if not (more or behind):
                return False
        return True

    async def _page(self, cursor: str) -> Page:
        params = {"limit": LINKS_PAGE} | ({"cursor": cursor} if cursor else {})
        return page_from(await self._client.get("/v1/links/limited", params))

    async def _tell(self, links: tuple[Limited, ...]) -> None:
        totals = to_tell(links, await self._store.totals(each.id for each in links))
        if not totals:
            return
        await self._client.post("/v1/links/counts", {"counts": totals})
