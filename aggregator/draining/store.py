"""The SQL that finds what an epoch's record key is still needed for.  It only reads."""

from aggregator.draining.rules import Behind, Told
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
# there and were refused: a forked one may hold what nobody has seen.  Not those that were
# written off by hand, alone or with their source, nor those that are gone and were read to
# the end from their replica.
BEHIND_BEFORE = f"""
    SELECT stream, source, {RECORDS_BEHIND}, fault
      FROM stream
     WHERE ({BEHIND} OR (present = 1 AND fault IS NOT NULL)) AND created_ms < ?
       AND abandoned_ms IS NULL
       AND source NOT IN (SELECT url FROM source WHERE abandoned_ms IS NOT NULL)
       AND NOT (swept_ms IS NOT NULL
                AND (present = 0
                     OR source IN (SELECT url FROM source WHERE gone_ms IS NOT NULL)))
     ORDER BY created_ms
"""
# Swept is a source when at least one of its streams was read from a replica, or needed none, and
# so it is with all that it still had, but for those that were written off by hand.
SWEPT = """
    EXISTS (SELECT 1 FROM stream WHERE source = url AND coalesce(swept_ms, retired_ms) IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM stream WHERE source = url AND present = 1
                       AND coalesce(swept_ms, retired_ms, abandoned_ms) IS NULL)
"""
SOURCES = f"""
    SELECT url, asked_ms, gone_ms IS NOT NULL, abandoned_ms IS NOT NULL, {SWEPT} FROM source
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


async def find_told(readers: Readers) -> tuple[dict[str, Told], frozenset[str]]:
    """Return what is stored of every source, and which of them are written off."""
    rows = await readers.rows(SOURCES)
    told = {
        url: Told(
            url,
            None if asked_ms is None else Millis(asked_ms),
            gone=bool(gone),
            swept=bool(gone and swept),
        )
        for url, asked_ms, gone, _, swept in rows
    }
    return told, frozenset(url for url, _, _, abandoned, _ in rows if abandoned)
