"""The SQL that removes texts which no hit, no description and no sum has any more.

Where a text occurs the postings tell, which name too much and never too little; so each
text that may have gone is looked for in the blocks that they name, until it is found.
"""

from collections.abc import Collection, Iterator
from typing import Any

import orjson

from aggregator.forgetting.store import LOOSEN
from aggregator.hits.store import INTERNED
from aggregator.rolling.fields import DIMENSIONS, FIELD_NUMBERS, NUMBERS, TOTAL
from aggregator.rolling.store import BLOCKS_IN_SPAN, place
from aggregator.rolling.tiers import TOGETHER
from milepost.sqlite import Connection

TEXTS_AT_ONCE = 64
AHEAD_MAX = 20_000  # hits that are not rolled up: with more of them, texts can wait

LOOSE = "SELECT id FROM loose_text ORDER BY id LIMIT ?"
AHEAD = "SELECT count(*) FROM (SELECT 1 FROM hit WHERE batch > ? LIMIT ?)"
SPANS = "SELECT DISTINCT id / ? FROM block"
BLOCK_OF = """
    SELECT posting.block, block.first_batch, block.last_batch
      FROM json_each(?) AS span CROSS JOIN json_each(?) AS field CROSS JOIN posting
      JOIN block ON block.id = posting.block
     WHERE posting.span = span.value AND posting.field = field.value AND posting.value = ?
       AND posting.block NOT IN (SELECT value FROM json_each(?))
     LIMIT 1
"""
TEXTS_IN = f"SELECT {', '.join(INTERNED)} FROM hit WHERE batch BETWEEN ? AND ?"
BATCH_MAX = (1 << 63) - 1

IN_SUMS = f"""
    SELECT DISTINCT rollup.value
      FROM (SELECT DISTINCT bucket_ms FROM rollup WHERE dimension = 0 AND tier = {TOGETHER}) AS at
     CROSS JOIN json_each(?) AS dimension CROSS JOIN json_each(?) AS asked CROSS JOIN rollup
     WHERE rollup.dimension = dimension.value AND rollup.tier = {TOGETHER}
       AND rollup.bucket_ms = at.bucket_ms AND rollup.value = asked.value
"""
WORDS = """
    SELECT class, device, os, browser FROM agent_class
     WHERE class IN (SELECT value FROM json_each(?1)) OR device IN (SELECT value FROM json_each(?1))
        OR os IN (SELECT value FROM json_each(?1)) OR browser IN (SELECT value FROM json_each(?1))
"""
HOSTS = "SELECT host FROM referrer WHERE host IN (SELECT value FROM json_each(?))"
HOST_OF = "SELECT host FROM referrer WHERE referer = ?"
DROP_AGENT = "DELETE FROM agent_class WHERE agent = ?"
DROP_REFERRER = "DELETE FROM referrer WHERE referer = ?"
DROP_LOOSE = "DELETE FROM loose_text WHERE id = ?"
DROP_TEXT = "DELETE FROM text WHERE id = ? RETURNING value"

FIELDS = orjson.dumps([FIELD_NUMBERS[name] for name in INTERNED]).decode()
SUMMED = orjson.dumps(
    [n for n, name in enumerate(DIMENSIONS) if name != TOTAL and name not in NUMBERS]
).decode()


def sweep(db: Connection) -> tuple[list[str], bool]:
    """Remove some texts; return them, and whether there are more to look at."""
    asked = {row[0] for row in db.execute(LOOSE, (TEXTS_AT_ONCE,))}
    if not asked:
        return [], False
    upto = place(db)
    (ahead,) = db.execute(AHEAD, (upto, AHEAD_MAX + 1)).fetchone()
    if ahead > AHEAD_MAX:
        return [], False
    free = _unseen(db, asked, upto)
    free -= {row[0] for row in db.execute(IN_SUMS, (SUMMED, _listed(free)))}
    gone = [value for each in sorted(_undescribed(db, free)) for value in _drop(db, each)]
    db.executemany(DROP_LOOSE, [(each,) for each in asked])
    return gone, True


def _unseen(db: Connection, asked: Collection[int], upto: int) -> set[int]:
    """Return those of texts that no hit has."""
    left = set(asked) - _texts_in(db, upto + 1, BATCH_MAX)
    spans = _listed(row[0] for row in db.execute(SPANS, (BLOCKS_IN_SPAN,)))
    looked: list[int] = []
    for text in sorted(left):
        while text in left:
            block = db.execute(BLOCK_OF, (spans, FIELDS, text, _listed(looked))).fetchone()
            if block is None:
                break
            looked.append(block[0])
            left -= _texts_in(db, block[1], block[2])
    return left


def _texts_in(db: Connection, first: int, last: int) -> set[int]:
    return {text for row in db.execute(TEXTS_IN, (first, last)) for text in row}


def _undescribed(db: Connection, free: Collection[int]) -> set[int]:
    """Return those of *free* that no description of something else has."""
    words = {word for row in db.execute(WORDS, (_listed(free),)) for word in row}
    hosts = {row[0] for row in db.execute(HOSTS, (_listed(free),))}
    return set(free) - words - hosts


def _drop(db: Connection, text: int) -> Iterator[str]:
    """Remove a text and its description; the host of a referer may be the next."""
    db.execute(DROP_AGENT, (text,))
    hosts = db.execute(HOST_OF, (text,)).fetchall()
    db.execute(DROP_REFERRER, (text,))
    yield from (row[0] for row in db.execute(DROP_TEXT, (text,)).fetchall())
    db.executemany(LOOSEN, hosts)


def _listed(values: Any) -> str:
    return orjson.dumps(sorted(values)).decode()
