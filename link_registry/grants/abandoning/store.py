"""The SQL of abandoned grants: nothing is due of them, and what was not done stays for a while."""

from link_registry.grants.rules import Grant, abandoned
from link_registry.grants.store import FORGET, FORGET_CLEANUPS, grant_with_id
from link_registry.store import LinkStore
from milepost.sqlite import Connection
from milepost.vocabulary import Millis

ABANDON = "UPDATE link_grant SET abandoned_ms = ?, abandoned_by = ? WHERE id = ?"

NONE_DUE = "UPDATE cleanup SET due_ms = NULL WHERE link_grant = ?"

ABANDONED_BEFORE = """
    SELECT id FROM link_grant WHERE abandoned_ms < ? ORDER BY abandoned_ms LIMIT ?
"""


class AbandonStore:
    """The abandoned grants in the registry's database."""

    def __init__(self, links: LinkStore) -> None:
        self._links = links

    async def abandon(self, grant_id: str, now: Millis, who: str) -> tuple[Grant, bool]:
        """Try no more to clean up after a grant; tell whether that is news."""

        def work(db: Connection) -> tuple[Grant, bool]:
            grant = grant_with_id(db, grant_id)
            if grant.abandoned_ms is not None:
                return grant, False
            grant = abandoned(grant, now, who)
            db.execute(ABANDON, (now, who, grant.id))
            db.execute(NONE_DUE, (grant.id,))
            return grant, True

        return await self._links.change(work)

    async def forget(self, before_ms: Millis, at_once: int) -> int:
        """Forget up to *at_once* of those that were abandoned before that moment; return how many.

        The oldest go first.
        """

        def work(db: Connection) -> int:
            rows = db.execute(ABANDONED_BEFORE, (before_ms, at_once)).fetchall()
            db.executemany(FORGET_CLEANUPS, rows)
            db.executemany(FORGET, rows)
            return len(rows)

        return await self._links.change(work)
