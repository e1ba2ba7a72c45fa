"""The SQL that finds what an epoch's record key is still needed for.  It only reads."""

from aggregator.draining.rules import Behind
from aggregator.pulling.store import BEHIND, RECORDS_BEHIND
from aggregator.store import Count
from milepost.database import Readers
from milepost.stream.files import SUFFIX
from milepost.vocabulary import Epoch, Millis, StreamId

SEALED_OF_EPOCH = """
    SELECT reason IS NOT NULL, count(*), sum(count) FROM sealed JOIN applied USING (batch)
     WHERE sealed.epoch = ? GROUP BY 1
"""
# Also those that no source has any more: what they promised never came.  And those that are
# there and were refused: a forked one may hold what nobody has seen.  Not those that a person
# has written off.
BEHIND_BEFORE = f"""
    SELECT stream, source, {RECORDS_BEHIND}, fault
      FROM stream
     WHERE abandoned_ms IS NULL
       AND ({BEHIND} OR (present = 1 AND fault IS NOT NULL)) AND created_ms < ?
     ORDER BY created_ms
"""


ABANDONED = "SELECT lower(hex(stream)) FROM stream WHERE abandoned_ms IS NOT NULL AND present = 1"


async def find_abandoned(readers: Readers) -> frozenset[str]:
    """Return the names of the files that are there, and whose rest was written off."""
    return frozenset(f"{stream}{SUFFIX}" for (stream,) in await readers.rows(ABANDONED))


async def find_sealed(readers: Readers, epoch: Epoch) -> tuple[Count, Count]:
    """Return what of *epoch* waits for its key, and what is set aside."""
    rows = await readers.rows(SEALED_OF_EPOCH, (epoch,))
    found = {bool(aside): Count(*rest) for aside, *rest in rows}
    return found.get(False, Count()), found.get(True, Count())


async def find_behind(readers: Readers, before: Millis) -> tuple[Behind, ...]:
    """Return the streams begun before that moment of which something announced is not applied."""
    rows = await readers.rows(BEHIND_BEFORE, (before,))
    return tuple(Behind(StreamId(row[0]), row[1], row[2], row[3]) for row in rows)
