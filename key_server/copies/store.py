"""keys.db as a whole: read for a copy, written from one, and wrapped anew."""

from collections.abc import Callable
from typing import Any

from key_server.copies.content import Copy, KeptEpoch, KeptReceipt
from key_server.store import LAST_NOTE, TRAIL_BEGINS, KeyStore, Note, add_notes
from milepost.sqlite import Connection
from milepost.vocabulary import Millis

WHO = "SELECT identity, seed, master_check, list_version FROM meta"

ALL_EPOCHS = """
    SELECT number, start_ms, end_ms, record_key, address_key, record_secret, address_secret,
           salt, salt_gone_ms, record_gone_ms
      FROM epoch
     ORDER BY number
"""

ALL_RECEIPTS = "SELECT number, epoch, what, document FROM receipt ORDER BY number"

RECOVER = """
    INSERT INTO meta (one, identity, seed, master_check, list_version, trail_number, trail_chain)
    VALUES (1, ?, ?, ?, ?, ?, ?)
"""

ADD_EPOCH = """
    INSERT INTO epoch (number, start_ms, end_ms, record_key, address_key, record_secret,
                       address_secret, salt, salt_gone_ms, record_gone_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

ADD_RECEIPT = "INSERT INTO receipt (number, epoch, what, document) VALUES (?, ?, ?, ?)"

SET_WHO = "UPDATE meta SET seed = ?, master_check = ?"

SET_SECRETS = "UPDATE epoch SET record_secret = ?, address_secret = ?, salt = ? WHERE number = ?"


class CopyStore:
    """The rows of keys.db, all at once."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def read(self, now: Millis) -> Copy:
        """Return all that there is, as of one moment."""
        async with self._store.readers.snapshot() as db:
            (who,) = list(await db.execute_fetchall(WHO))
            epochs = list(await db.execute_fetchall(ALL_EPOCHS))
            receipts = list(await db.execute_fetchall(ALL_RECEIPTS))
            ends = list(await db.execute_fetchall(LAST_NOTE))
            begins = list(await db.execute_fetchall(TRAIL_BEGINS))
        number, chain = (ends or begins)[0]
        return Copy(
            made_ms=now,
            identity=who[0],
            seed=who[1],
            check=who[2],
            version=Millis(who[3]),
            trail_number=number,
            trail_chain=chain,
            epochs=tuple(map(_epoch, epochs)),
            receipts=tuple(map(_receipt, receipts)),
        )

    async def write(self, copy: Copy, notes: list[Note], now: Millis) -> None:
        """Begin with *copy* in a database that has no identity yet."""

        def work(db: Connection) -> None:
            who = (copy.identity, copy.seed, copy.check, copy.version)
            db.execute(RECOVER, (*who, copy.trail_number, copy.trail_chain))
            db.executemany(ADD_EPOCH, map(_row, copy.epochs))
            db.executemany(
                ADD_RECEIPT,
                [(each.number, each.epoch, each.what, each.document) for each in copy.receipts],
            )
            add_notes(db, notes, now)

        await self._store.writer.transact(work)

    async def rewrap(
        self,
        seed: Callable[[bytes], bytes],
        check: bytes,
        epoch: Callable[[KeptEpoch], KeptEpoch],
        *,
        note: Note,
        now: Millis,
    ) -> None:
        """Replace every wrapped value by what *seed* and *epoch* make of it, all or nothing."""

        def work(db: Connection) -> None:
            (_, wrapped, _, _) = db.execute(WHO).fetchone()
            db.execute(SET_WHO, (seed(wrapped), check))
            for held in map(_epoch, db.execute(ALL_EPOCHS).fetchall()):
                new = epoch(held)
                db.execute(
                    SET_SECRETS, (new.record_secret, new.address_secret, new.salt, new.number)
                )
            add_notes(db, [note], now)

        await self._store.writer.transact(work)


def _epoch(row: Any) -> KeptEpoch:
    return KeptEpoch(
        number=row[0],
        start_ms=row[1],
        end_ms=row[2],
        record_key=row[3],
        address_key=row[4],
        record_secret=row[5],
        address_secret=row[6],
        salt=row[7],
        salt_gone_ms=row[8],
        record_gone_ms=row[9],
    )


def _receipt(row: Any) -> KeptReceipt:
    return KeptReceipt(number=row[0], epoch=row[1], what=row[2], document=row[3])


def _row(epoch: KeptEpoch) -> tuple[Any, ...]:
    return (
        epoch.number,
        epoch.start_ms,
        epoch.end_ms,
        epoch.record_key,
        epoch.address_key,
        epoch.record_secret,
        epoch.address_secret,
        epoch.salt,
        epoch.salt_gone_ms,
        epoch.record_gone_ms,
    )
