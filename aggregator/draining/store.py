"""The SQL that finds what an epoch's record key is still needed for.  It only reads."""

from aggregator.draining.rules import Behind
from aggregator.store import Count
from milepost.database import Readers
from milepost.vocabulary import Epoch, Millis, StreamId

SEALED_OF_EPOCH = """
    SELECT reason IS NOT NULL, count(*), sum(count) FROM sealed JOIN applied USING (batch)
     WHERE sealed.epoch = ? GROUP BY 1
"""
# Also those that no source has any more: what they promised never came, unless their replica was
# read to its end, after which nothing more can come.  And those that are
# there and were refused: a forked one may hold what nobody has seen.
BEHIND = """
    SELECT stream, source, max(last_records - records, 0), fault
      FROM stream
     WHERE (seq < last_seq OR (present = 1 AND fault IS NOT NULL))
       AND swept_ms IS NULL AND created_ms < ?
     ORDER BY created_ms
"""


async def find_sealed(readers: Readers, epoch: Epoch) -> tuple[Count, Count]:
    """Return what of *epoch* waits for its key, and what is set aside."""
    rows = await readers.rows(SEALED_OF_EPOCH, (epoch,))
    found = {bool(aside): Count(*rest) for aside, *rest in rows}
    return found.get(False, Count()), found.get(True, Count())


async def find_behind(readers: Readers, before: Millis) -> tuple[Behind, ...]:
    """Return the streams begun before that moment of which something announced is not applied."""
    rows = await readers.rows(BEHIND, (before,))
    return tuple(Behind(StreamId(row[0]), row[1], row[2], row[3]) for row in rows)
