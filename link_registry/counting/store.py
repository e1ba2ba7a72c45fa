"""The SQL of click limits.

A total and the end of a link that it brings about stand in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from link_registry.changing.store import link_with_id, replace_link
from link_registry.entries import relinked
from link_registry.store import LinkStore
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId, Millis

LIMITED = """
    SELECT id, clicks, click_limit FROM link
     WHERE click_limit IS NOT NULL AND enabled = 1 AND id > ? ORDER BY id LIMIT ?
"""

# A total never falls, whatever becomes of the database it was counted in.
RAISE = "UPDATE link SET clicks = ? WHERE id = ? AND clicks < ?"

SPENT = """
    SELECT 1 FROM link
     WHERE id = ? AND enabled = 1 AND click_limit IS NOT NULL AND clicks >= click_limit
"""


@dataclass(frozen=True, slots=True)
class Limited:
    """A link that redirects until its clicks have reached its limit."""

    id: LinkId
    clicks: int
    click_limit: int


class CountStore:
    """The registry's database as far as click limits are concerned."""

    def __init__(self, links: LinkStore) -> None:
        self._links = links

    async def limited(self, after: str, limit: int) -> list[Limited]:
        """Return the links that have a limit and are enabled, by id, from behind *after* on."""
        rows = await self._links.readers.rows(LIMITED, (after, limit))
        return [Limited(*row) for row in rows]

    async def note(self, counts: Mapping[str, int], now: Millis, who: str) -> list[LinkId]:
        """Raise totals to *counts*; disable, and return, the links that have had enough.

        Links that are not there any more are passed over.
        """

        def work(db: Connection) -> list[LinkId]:
            db.executemany(RAISE, ((clicks, each, clicks) for each, clicks in counts.items()))
            return [LinkId(each) for each in counts if _disable_spent(db, each, now, who)]

        return await self._links.change(work)


def _disable_spent(db: Connection, link_id: str, now: Millis, who: str) -> bool:
    if db.execute(SPENT, (link_id,)).fetchone() is None:
        return False
    old = link_with_id(db, link_id)
    if old is None:
        return False
    replace_link(db, old, relinked(old, replace(old.link, enabled=False), now), who)
    return True
