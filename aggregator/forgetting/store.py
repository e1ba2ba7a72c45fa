"""The SQL of erase rules: keeping them, and carrying them out piece by piece.

What holds after each piece: the hits that it removed are in no sum any more, and the rule
says how far it got.  So it goes on where it was, whatever is killed in between.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aggregator.forgetting.rules import LINK, VISITOR, Erased, Rule, Target, erased_by
from aggregator.limits.store import counted_upto
from aggregator.rolling.fields import DIMENSION_NUMBERS, FIELD_NUMBERS
from aggregator.rolling.spans.store import Place, epochs_of_visitors, places_of
from aggregator.rolling.store import BLOCKS_IN_SPAN, changing, place
from aggregator.rolling.tiers import TIERS, TOGETHER
from milepost.sqlite import Connection
from milepost.vocabulary import Millis

PIECE_HITS = 64  # removed at once: some ten milliseconds
LOOKED_AT = 4_000  # hits of the tail, or about as many in blocks
BLOCKS_LOOKED_AT = 4
BATCH_MAX = (1 << 63) - 1

TARGETS = "SELECT kind, value FROM erase_rule"
PUT_RULE = """
    INSERT INTO erase_rule (kind, value, at_ms, who, until, upto, removed)
    VALUES (?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM applied), 0, 0)
        ON CONFLICT (kind, value) DO NOTHING
"""
RULES = """
    SELECT kind, value, at_ms, who, until, upto, removed, done_ms FROM erase_rule
     ORDER BY at_ms, kind, value
"""
PENDING = "SELECT kind, value, until, upto FROM erase_rule WHERE done_ms IS NULL ORDER BY at_ms"
MOVE_RULE = """
    UPDATE erase_rule SET upto = ?, removed = removed + ?, done_ms = ? WHERE kind = ? AND value = ?
"""
ADD_REMOVED = "UPDATE erase_rule SET removed = removed + 1 WHERE kind = 'visitor' AND value = ?"

TEXT_ID = "SELECT id FROM text WHERE value = ?"
OF_VISITOR = "SELECT batch, idx FROM hit WHERE epoch = ? AND visitor = ? AND batch <= ? LIMIT ?"
SPAN_OF_BLOCK = "SELECT id / ? FROM block WHERE last_batch > ? ORDER BY id LIMIT 1"
LAST_SPAN = "SELECT max(id) / ? FROM block"
NEXT_BLOCK = """
    SELECT block.first_batch, block.last_batch
      FROM posting JOIN block ON block.id = posting.block
     WHERE posting.span = ? AND posting.field = ? AND posting.value = ? AND block.last_batch > ?
     ORDER BY posting.block LIMIT 1
"""
WITH_VALUE = """
    SELECT batch, idx FROM hit WHERE batch > ? AND batch <= ? AND +{} = ? LIMIT ?
"""
FURTHER = "SELECT batch FROM hit WHERE batch > ? ORDER BY batch, idx LIMIT 1 OFFSET ?"

LOOSE_FIELDS = (
    *("host", "path", "target", "link", "variant", "country", "subdivision", "agent", "referer"),
    *("source", "range", "language", "arguments"),
)
TEXTS_AT = f"""
    SELECT {", ".join(f"hit.{name}" for name in LOOSE_FIELDS)}
      FROM json_each(?) AS asked CROSS JOIN hit
     WHERE batch = asked.value ->> 0 AND idx = asked.value ->> 1
"""
ANY_LOOSE = "SELECT 1 FROM loose_text LIMIT 1"
LOOSEN = "INSERT OR IGNORE INTO loose_text (id) VALUES (?)"
REMOVE = "DELETE FROM hit WHERE batch = ? AND idx = ?"
REMOVE_HASHED = "DELETE FROM hit WHERE batch = ? AND idx = ? AND visitor = ?"

DROP_SUMS = """
    DELETE FROM rollup WHERE dimension = ? AND tier = ? AND value = ? AND bucket_ms IN
        (SELECT DISTINCT bucket_ms FROM rollup WHERE dimension = 0 AND tier = ?)
"""
COUNT_SUMS = """
    SELECT coalesce(sum(human_hits + bot_hits), 0) FROM rollup
     WHERE dimension = ? AND tier = ? AND value = ? AND bucket_ms IN
        (SELECT DISTINCT bucket_ms FROM rollup WHERE dimension = 0 AND tier = ?)
"""
COUNT_IN = "SELECT count(*) FROM hit WHERE batch BETWEEN ? AND ? AND +{} = ?"
COUNT_AHEAD = "SELECT count(*) FROM hit WHERE batch > ? AND +{} = ?"
DROP_SPANS = (
    "DELETE FROM regular WHERE dimension = ? AND value = ?",
    "DELETE FROM past WHERE dimension = ? AND value = ?",
)
DROP_VISITOR = (
    "DELETE FROM regular WHERE visitor = ? AND epoch IN (SELECT epoch FROM epoch_span)",
    "DELETE FROM past WHERE visitor = ? AND epoch IN (SELECT epoch FROM epoch_span)",
)
DROP_CLICKS = (
    "DELETE FROM click_count WHERE link = ?",
    "DELETE FROM past_clicks WHERE link = ?",
)
# What is set aside alone stays counted, and says nothing any more.
BLANK = "UPDATE set_aside_record SET fields = '{}' WHERE fields ->> ? = ?"


class State(NamedTuple):
    """A rule, and how far it is carried out."""

    rule: Rule
    until: int
    upto: int
    removed: int
    done_ms: int | None


class Piece(NamedTuple):
    """What one transaction did."""

    removed: int
    more: bool  # there is something left that can be done now


def load_erased(db: Connection) -> Erased:
    """Return what must not be kept."""
    return erased_by(Target(kind=kind, value=value) for kind, value in db.execute(TARGETS))


def put_rules(db: Connection, rules: Iterable[Rule]) -> int:
    """Take *rules* over; return how many were not known."""
    return db.executemany(
        PUT_RULE, [(each.target.kind, each.target.value, each.at_ms, each.who) for each in rules]
    ).rowcount


def states(rows: Iterable[Sequence[Any]]) -> list[State]:
    """Read RULES."""
    return [
        State(Rule(target=Target(kind=kind, value=value), at_ms=Millis(at_ms), who=who), *rest)
        for kind, value, at_ms, who, *rest in rows
    ]


def carry_out(db: Connection, now: Millis, *, counts: bool) -> Piece:
    """Remove some of what a rule names; where it *counts*, no click before it is counted."""
    limit = counted_upto(db) if counts else None
    for kind, value, until, upto in db.execute(PENDING).fetchall():
        target, end = Target(kind=kind, value=value), until if limit is None else min(until, limit)
        places, reached = _find(db, target, upto, end)
        if not places and reached == upto and reached < until:
            continue  # it waits until clicks are counted
        remove(db, places)
        done = reached >= until and not places
        if done:
            _finish(db, target)
        db.execute(MOVE_RULE, (reached, len(places), now if done else None, kind, value))
        return Piece(len(places), more=True)
    return Piece(0, more=False)


def remove(db: Connection, places: Sequence[Place]) -> None:
    """Remove hits from the database and out of every sum."""
    if not places:
        return
    loosen(db, places)
    with changing(db, places):
        db.executemany(REMOVE, places)


def loosen(db: Connection, places: Iterable[Place]) -> None:
    """Note the texts of hits that go: maybe nothing else has them."""
    rows = db.execute(TEXTS_AT, (places_of(places),)).fetchall()
    found = {text for row in rows for text in row} - {None}
    db.executemany(LOOSEN, ((text,) for text in sorted(found)))


def remove_hashed(db: Connection, hashed: Iterable[tuple[bytes, int, int]]) -> None:
    """Remove those of hits that just got a hash (with batch and place) which a rule names."""
    erased = load_erased(db).visitors
    for visitor, batch, index in hashed:
        if visitor in erased:
            loosen(db, [(batch, index)])
            if db.execute(REMOVE_HASHED, (batch, index, visitor)).rowcount:
                db.execute(ADD_REMOVED, (visitor,))


def _find(db: Connection, target: Target, upto: int, end: int) -> tuple[list[Place], int]:
    """Return the next hits that a rule names, and up to where there are no more before them."""
    if target.kind == VISITOR:
        places = find_visitor(db, target.value, end, PIECE_HITS)
        return places, upto if places else max(upto, end)
    found = db.execute(TEXT_ID, (target.told,)).fetchone()
    if found is None:
        return [], max(upto, end)
    for _ in range(BLOCKS_LOOKED_AT):
        first, last = _next_range(db, target.kind, found[0], upto, end)
        sql = WITH_VALUE.format(target.kind)
        places = db.execute(sql, (first, last, found[0], PIECE_HITS)).fetchall()
        if places:
            return places, max(upto, first)
        upto = max(upto, last)
        if upto >= end:
            break
    return [], upto


def find_visitor(db: Connection, visitor: bytes, end: int, limit: int) -> list[Place]:
    """Return up to *limit* hits of a visitor up to a batch."""
    places: list[Place] = []
    for epoch in epochs_of_visitors(db):
        places += db.execute(OF_VISITOR, (epoch, visitor, end, limit - len(places))).fetchall()
    return places


def count_named(db: Connection, target: Target) -> tuple[int, int | None]:
    """Return how many hits *target* names; of a link or host, those that are only counted too.

    The second number is how many are counted, among them those that went by their age.
    """
    if target.kind == VISITOR:
        return len(find_visitor(db, target.value, BATCH_MAX, BATCH_MAX)), None
    found = db.execute(TEXT_ID, (target.told,)).fetchone()
    if found is None:
        return 0, 0
    asked = (DIMENSION_NUMBERS[target.kind], TOGETHER, found[0], TOGETHER)
    (counted,) = db.execute(COUNT_SUMS, asked).fetchone()
    (ahead,) = db.execute(COUNT_AHEAD.format(target.kind), (place(db), found[0])).fetchone()
    return _count_rows(db, target.kind, found[0]) + ahead, counted + ahead


def _count_rows(db: Connection, field: str, value: int) -> int:
    count, upto = 0, 0
    while (block := next_block(db, field, value, upto)) is not None:
        first, upto = block
        (more,) = db.execute(COUNT_IN.format(field), (first, upto, value)).fetchone()
        count += more
    return count


def _next_range(db: Connection, field: str, value: int, upto: int, end: int) -> tuple[int, int]:
    """Return behind which batch, and up to which, the next hits with *value* can be."""
    rolled = place(db)
    if upto < rolled and (block := next_block(db, field, value, upto)) is not None:
        return min(max(upto, block[0] - 1), end), min(block[1], end)
    first = max(upto, min(rolled, end))
    found = db.execute(FURTHER, (first, LOOKED_AT)).fetchone()
    return first, min(end, found[0]) if found else end


def next_block(db: Connection, field: str, value: int, upto: int) -> tuple[int, int] | None:
    """Return the batches of the first block behind *upto* in which *value* may occur."""
    found = db.execute(SPAN_OF_BLOCK, (BLOCKS_IN_SPAN, upto)).fetchone()
    (last,) = db.execute(LAST_SPAN, (BLOCKS_IN_SPAN,)).fetchone()
    if found is None or last is None:
        return None
    for span in range(found[0], last + 1):
        block = db.execute(NEXT_BLOCK, (span, FIELD_NUMBERS[field], value, upto)).fetchone()
        if block is not None:
            return int(block[0]), int(block[1])
    return None


def _finish(db: Connection, target: Target) -> None:
    """Remove what is not a hit: sums by that link or host alone, and what is kept of a visitor."""
    db.execute(BLANK, (target.kind, target.as_text))
    if target.kind == VISITOR:
        for sql in DROP_VISITOR:
            db.execute(sql, (target.value,))
        return
    found = db.execute(TEXT_ID, (target.told,)).fetchone()
    if target.kind == LINK:
        for sql in DROP_CLICKS:
            db.execute(sql, (target.told,))
    if found is None:
        return
    number = DIMENSION_NUMBERS[target.kind]
    for tier in range(len(TIERS)):
        db.execute(DROP_SUMS, (number, tier, found[0], tier))
    for sql in DROP_SPANS:
        db.execute(sql, (number, found[0]))
    db.execute(LOOSEN, (found[0],))
