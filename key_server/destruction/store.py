"""keys.db as destruction sees it: what is there, what goes, and the receipts.

What belongs to one destruction stands in one transaction: the wrapped values
turn NULL, the moment is set, receipt and audit row are written, and the list's
version rises.  So no epoch is ever half destroyed, and no tombstone is without
its receipt.  `secure_delete` overwrites what was there; the WAL, which holds
older states of the same pages, is emptied afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from key_server.audit import DESTROY_RECORD, DESTROY_SALT
from key_server.destruction.rules import Order, Standing
from key_server.periods import Span
from key_server.store import RAISE_VERSION, KeyStore, add_notes
from milepost.receipts import What
from milepost.sqlite import Connection
from milepost.vocabulary import Epoch, Millis

HELD_MAX = 1_000  # of each kind in one look; the next look goes on

# Only what has something to destroy; the oldest first, and whatever is over before what is not.
HELD_SALTS = """
    SELECT number, start_ms, end_ms, salt IS NOT NULL, record_secret IS NOT NULL FROM epoch
     WHERE salt_gone_ms IS NULL AND end_ms <= ? ORDER BY number LIMIT ?
"""
HELD_RECORDS = """
    SELECT number, start_ms, end_ms, salt IS NOT NULL, record_secret IS NOT NULL FROM epoch
     WHERE record_gone_ms IS NULL AND end_ms <= ? ORDER BY number LIMIT ?
"""
STANDING = """
    SELECT number, start_ms, end_ms, salt IS NOT NULL, record_secret IS NOT NULL FROM epoch
     WHERE number = ?
"""
# What is written down by a clock that is not believed is no trace, so after the first
# look nothing counts but what was believed.
LAST_TRACE = """
    SELECT CASE believed_ms WHEN 0 THEN max(list_version,
               coalesce((SELECT at_ms FROM audit ORDER BY number DESC LIMIT 1), 0))
           ELSE believed_ms END
      FROM meta
"""
REMEMBER = "UPDATE meta SET believed_ms = ?"

# What is in use, or will be, is held back here once more.
SECRETS = {
    What.SALT: """
        SELECT record_key, address_key, address_secret, salt FROM epoch
         WHERE number = ? AND salt_gone_ms IS NULL AND end_ms <= ?
    """,
    What.RECORD: """
        SELECT record_key, address_key, record_secret FROM epoch
         WHERE number = ? AND record_gone_ms IS NULL AND end_ms <= ?
    """,
}
DESTROY = {
    What.SALT: """
        UPDATE epoch SET salt = NULL, address_secret = NULL, salt_gone_ms = ? WHERE number = ?
    """,
    What.RECORD: "UPDATE epoch SET record_secret = NULL, record_gone_ms = ? WHERE number = ?",
}
NOTED = {What.SALT: DESTROY_SALT, What.RECORD: DESTROY_RECORD}
PUT_RECEIPT = "INSERT INTO receipt (epoch, what, document) VALUES (?, ?, ?)"
RECEIPT = "SELECT document FROM receipt WHERE epoch = ? AND what = ?"
RECEIPTS = "SELECT number, document FROM receipt WHERE number > ? ORDER BY number LIMIT ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """What is about to be destroyed, as it lies there."""

    order: Order
    record_key: bytes
    address_key: bytes
    wrapped: tuple[bytes, ...]


Witness = Callable[[Doomed], str]  # makes the signed receipt


class DestructionStore:
    """The rows of keys.db that destruction changes."""

    def __init__(self, store: KeyStore) -> None:
        self._writer, self._readers = store.writer, store.readers

    async def held(self, moment: Millis) -> tuple[Standing, ...]:
        """Return the oldest epochs that were over at *moment* and have something left."""
        async with self._readers.snapshot() as db:
            rows = {
                row[0]: row
                for sql in (HELD_SALTS, HELD_RECORDS)
                for row in await db.execute_fetchall(sql, (moment, HELD_MAX))
            }
        return tuple(_standing(rows[number]) for number in sorted(rows))

    async def standing(self, epoch: Epoch) -> Standing | None:
        """Return where one epoch stands."""
        row = await self._readers.row(STANDING, (epoch,))
        return None if row is None else _standing(row)

    async def last_trace(self) -> Millis:
        """Return the last moment that was believed; before the first, the newest written down."""
        row = await self._readers.row(LAST_TRACE)
        return Millis(row[0] if row else 0)

    async def remember(self, moment: Millis) -> None:
        """Write down that *moment* is believed, for the next start to go by."""

        def work(db: Connection) -> None:
            db.execute(REMEMBER, (moment,))

        await self._writer.transact(work)

    async def destroy(
        self, orders: Sequence[Order], witness: Witness, *, who: str, moment: Millis, now: Millis
    ) -> list[Order]:
        """Destroy what is still there of *orders*, all or nothing; return what was.

        Nothing goes of an epoch that is not over at *moment*; *now* is what is written down.
        """

        def work(db: Connection) -> list[Order]:
            done = [order for order in orders if _destroy(db, order, witness, moment, now)]
            if done:
                notes = [(who, NOTED[order.what], order.epoch, 1) for order in done]
                add_notes(db, notes, now)
                db.execute(RAISE_VERSION, (now,))
            return done

        return await self._writer.transact(work)

    async def truncate(self) -> bool:
        """Empty the WAL, which holds older states; tell whether that was done."""
        return await self._writer.truncate_wal()

    async def receipt(self, order: Order) -> str | None:
        """Return the signed receipt of one destruction."""
        row = await self._readers.row(RECEIPT, (order.epoch, order.what))
        return None if row is None else str(row[0])

    async def receipts(self, after: int, count_max: int) -> list[tuple[int, str]]:
        """Return the signed receipts behind number *after*."""
        rows = await self._readers.rows(RECEIPTS, (after, count_max))
        return [(int(number), str(document)) for number, document in rows]


def _standing(row: Any) -> Standing:
    return Standing(
        Span(Epoch(row[0]), Millis(row[1]), Millis(row[2])), salt=bool(row[3]), record=bool(row[4])
    )


def _destroy(db: Connection, order: Order, witness: Witness, moment: Millis, now: Millis) -> bool:
    row = db.execute(SECRETS[order.what], (order.epoch, moment)).fetchone()
    if row is None:
        return False  # it has gone before
    record_key, address_key, *wrapped = row
    document = witness(
        Doomed(order=order, record_key=record_key, address_key=address_key, wrapped=tuple(wrapped))
    )
    db.execute(DESTROY[order.what], (now, order.epoch))
    db.execute(PUT_RECEIPT, (order.epoch, order.what, document))
    return True
