"""The SQL that finds address boxes, and puts hashes in their place.

Hashes are written and their box is dropped in one transaction.  So a box is there
exactly as long as it is good for something, whatever is killed in between.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from aggregator.forgetting.store import remove_hashed
from aggregator.hashes.judging import GivenUp, Settled
from aggregator.opening.store import header_of
from aggregator.rolling.store import changing
from milepost.database import Readers, Writer
from milepost.hashing import Item
from milepost.sqlite import Connection
from milepost.vocabulary import BatchId, Epoch

# Boxes of batches that are not opened have to wait: nobody knows yet what they are good for.
USABLE = """
    SELECT epoch, batch FROM address_box
     WHERE (epoch, batch) > (?, ?)
       AND NOT EXISTS (SELECT 1 FROM sealed WHERE sealed.batch = address_box.batch)
     ORDER BY epoch, batch LIMIT ?
"""
BOXES = """
    SELECT stream, seq, batch, applied.epoch, key, count, first_ms, last_ms, tally, addresses
      FROM address_box JOIN applied USING (batch)
     WHERE address_box.batch IN (SELECT unhex(value) FROM json_each(?))
     ORDER BY address_box.epoch, batch
"""
COUNT_BOXES = "SELECT count(*) FROM address_box"
TAKE_BOX = "DELETE FROM address_box WHERE batch = ?"
NUMBER = "SELECT id, epoch FROM applied WHERE batch = ?"
# The place in the batch, which raw records take up as well; they are no hits, and match none.
PUT_HASH = """
    UPDATE hit SET visitor = ?
     WHERE batch = ? AND idx = ? AND visitor IS NULL AND opt_out IS NOT 1
"""
WITHOUT_HASH = """
    SELECT count(*) FROM hit WHERE batch = ? AND visitor IS NULL AND opt_out IS NOT 1
"""

HASHED, ABSENT = "hashed", "absent"


class Turn(NamedTuple):
    """When a box is asked for: those of the oldest epoch first, whose salt dies first."""

    epoch: Epoch
    batch: BatchId


class HashStore:
    """The combined database as far as hashes that come late are concerned."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def usable(self, after: Turn, limit: int) -> list[Turn]:
        """Return up to *limit* opened batches that have a box, in their turn behind *after*."""
        rows = await self._readers.rows(USABLE, (*after, limit))
        return [Turn(Epoch(epoch), BatchId(batch)) for epoch, batch in rows]

    async def boxes(self, batches: Sequence[BatchId]) -> list[Item]:
        """Return the boxes of *batches*, in their turn."""
        listed = orjson.dumps([batch.hex() for batch in batches]).decode()
        return [_item(row) for row in await self._readers.rows(BOXES, (listed,))]

    async def count(self) -> int:
        """Return how many address boxes there are."""
        (found,) = await self._readers.row(COUNT_BOXES) or (0,)
        return int(found)

    async def settle(self, settled: Sequence[Settled]) -> Counter[str]:
        """Write hashes, drop the boxes, and count hits: hashed, or without, by the reason why."""

        def work(db: Connection) -> Counter[str]:
            done: Counter[str] = Counter()
            for each in settled:
                _settle(db, each, done)
            return done

        return await self._writer.transact(work)


def _settle(db: Connection, settled: Settled, done: Counter[str]) -> None:
    if db.execute(TAKE_BOX, (settled.batch,)).rowcount == 0:
        return  # it was settled before, by a commit that seemed to fail
    number, epoch = db.execute(NUMBER, (settled.batch,)).fetchone()
    reason = ABSENT
    if isinstance(settled, GivenUp):
        reason = settled.fault
    elif settled.hashes:
        hits = [(number, index) for index in settled.hashes]
        rows = [(each, number, index) for index, each in settled.hashes.items()]
        with changing(db, hits, ((epoch, each) for each in settled.hashes.values())):
            done[HASHED] += db.executemany(PUT_HASH, rows).rowcount
            remove_hashed(db, rows)
    (without,) = db.execute(WITHOUT_HASH, (number,)).fetchone()
    if without:
        done[reason] += without


def _item(row: Any) -> Item:
    *columns, addresses = row
    header = header_of(columns)
    return Item(header, addresses)
