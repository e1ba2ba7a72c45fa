"""The SQL that counts the clicks of limited links, each hit once.

Hits become visible in the order of `applied.id`, so a total and the id up to which it
holds, moved in one transaction, are exact whatever is killed in between.  The links that
are counted up to the same id, all of them sooner or later, go together; one that gets a
limit after it had clicks comes from behind, slice by slice, and then joins them.

Only ranges of the hits' primary key are read.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from aggregator.limits.rules import slice_end
from milepost.database import Readers, Writer
from milepost.sqlite import Connection
from milepost.vocabulary import LinkId

# In one slice: some ten milliseconds on a connection that nobody waits for.
BATCHES_MAX, HITS_MAX = 5_000, 20_000

PLACE = "SELECT upto FROM click_place"
TOGETHER = "SELECT 1 FROM click_count WHERE upto IS NULL LIMIT 1"
FURTHEST_BEHIND = "SELECT min(upto) FROM click_count WHERE upto IS NOT NULL"
NEXT_BEHIND = "SELECT min(upto) FROM click_count WHERE upto > ?"
NEWEST = "SELECT max(id) FROM applied"
BATCHES = "SELECT id, count FROM applied WHERE id > ? ORDER BY id LIMIT ?"

# Up to where all clicks are counted that ever will be; NULL: nobody counts any.
COUNTED_UPTO = """
    SELECT min(upto)
      FROM (SELECT min(upto) AS upto FROM click_count WHERE upto IS NOT NULL
             UNION ALL
            SELECT upto FROM click_place
             WHERE EXISTS (SELECT 1 FROM click_count WHERE upto IS NULL))
"""

# A click was answered with a redirect.  The + keeps the range of the primary key in use,
# whatever indexes there are.
COUNTS = """
    +link IS NOT NULL
    AND +kind = (SELECT id FROM text WHERE value = 'link')
    AND +method = (SELECT id FROM text WHERE value = 'GET')
    AND +status IN (301, 302, 307, 308)
"""
CLICKS = f"""
    SELECT (SELECT value FROM text WHERE id = counted.link), clicks
      FROM (SELECT link, count(*) AS clicks FROM hit
             WHERE batch > ? AND batch <= ? AND {COUNTS}
             GROUP BY +link) AS counted
"""
# Rows that go by their age are counted before, also for links that have no limit yet.
KEEP_CLICKS = f"""
    INSERT INTO past_clicks (link, clicks)
    SELECT (SELECT value FROM text WHERE id = counted.link), clicks
      FROM (SELECT link, count(*) AS clicks FROM json_each(?) AS asked CROSS JOIN hit
             WHERE batch = asked.value ->> 0 AND idx = asked.value ->> 1 AND {COUNTS}
             GROUP BY +link) AS counted
     WHERE true
        ON CONFLICT (link) DO UPDATE SET clicks = clicks + excluded.clicks
"""

TOTALS = """
    SELECT link, clicks FROM click_count WHERE link IN (SELECT value FROM json_each(?))
"""

JUMP = """
    INSERT INTO click_place (one, upto) VALUES (1, (SELECT coalesce(max(id), 0) FROM applied))
        ON CONFLICT (one) DO UPDATE SET upto = excluded.upto
"""
# A link whose id is in no hit has nothing to catch up with.
ENLIST = """
    INSERT INTO click_count (link, clicks, upto)
    SELECT ?1, coalesce((SELECT clicks FROM past_clicks WHERE link = ?1), 0),
           iif(EXISTS (SELECT 1 FROM text WHERE value = ?1), 0, NULL)
     WHERE true
        ON CONFLICT (link) DO NOTHING
"""
ADD_TOGETHER = "UPDATE click_count SET clicks = clicks + ? WHERE link = ? AND upto IS NULL"
MOVE_TOGETHER = "UPDATE click_place SET upto = ? WHERE upto = ?"
ADD_BEHIND = "UPDATE click_count SET clicks = clicks + ? WHERE link = ? AND upto = ?"
MOVE_BEHIND = "UPDATE click_count SET upto = ? WHERE upto = ?"

Clicks = Sequence[tuple[int, str]]


class LimitStore:
    """The combined database as far as click limits are concerned.  One task uses it."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def enlist(self, links: Sequence[LinkId]) -> None:
        """Count the clicks of *links* from now on, and those that they had before."""
        known = await self.totals(links)
        fresh = [each for each in links if each not in known]
        if not fresh:
            return

        def work(db: Connection) -> None:
            if db.execute(TOGETHER).fetchone() is None:
                db.execute(JUMP)  # nobody would be counted on the way there
            db.executemany(ENLIST, ((each,) for each in fresh))

        await self._writer.transact(work)

    async def totals(self, links: Iterable[LinkId]) -> dict[LinkId, int]:
        """Return how many clicks those of *links* have had that are counted."""
        listed = orjson.dumps(list(links)).decode()
        rows = await self._readers.rows(TOTALS, (listed,))
        return {LinkId(link): clicks for link, clicks in rows}

    async def advance(self) -> bool:
        """Count the next slice for the links that go together; tell whether it left any out."""
        async with self._readers.snapshot() as db:
            if not await db.execute_fetchall(TOGETHER):
                return False
            [(place,)] = await db.execute_fetchall(PLACE)
            end = await _slice_end(db, place)
            if end is None:
                return False
            [(newest,)] = await db.execute_fetchall(NEWEST)
            clicks = await _clicks(db, place, end)

        def work(connection: Connection) -> None:
            # Only from where it was counted: a step that was cut short may happen later.
            if connection.execute(MOVE_TOGETHER, (end, place)).rowcount:
                connection.executemany(ADD_TOGETHER, clicks)

        await self._writer.transact(work)
        return bool(end < newest)

    async def catch_up(self) -> bool:
        """Count the next slice for the links that are furthest behind; tell whether any were."""
        async with self._readers.snapshot() as db:
            [(begin,)] = await db.execute_fetchall(FURTHEST_BEHIND)
            if begin is None:
                return False
            [(place,)] = await db.execute_fetchall(PLACE)
            [(others,)] = await db.execute_fetchall(NEXT_BEHIND, (begin,))
            ends = [await _slice_end(db, begin), others, place]
            end = min(each for each in ends if each is not None)
            clicks = await _clicks(db, begin, end)

        def work(connection: Connection) -> None:
            connection.executemany(ADD_BEHIND, ((n, link, begin) for n, link in clicks))
            connection.execute(MOVE_BEHIND, (None if end >= place else end, begin))

        await self._writer.transact(work)
        return True


def counted_upto(db: Connection) -> int | None:
    """Return the batch up to which clicks are counted; None: nothing has to be."""
    found = db.execute(COUNTED_UPTO).fetchone()
    return None if found is None or found[0] is None else int(found[0])


def keep_clicks(db: Connection, places: str) -> None:
    """Count the clicks at *places* (written as JSON), which go, for whoever counts later."""
    db.execute(KEEP_CLICKS, (places,))


async def _slice_end(db: Any, after: int) -> int | None:
    batches = await db.execute_fetchall(BATCHES, (after, BATCHES_MAX))
    return slice_end(((number, count) for number, count in batches), HITS_MAX)


async def _clicks(db: Any, after: int, upto: int) -> Clicks:
    rows = await db.execute_fetchall(CLICKS, (after, upto))
    return [(clicks, link) for link, clicks in rows]
