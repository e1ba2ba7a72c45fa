"""The SQL that describes a user agent anew, and keeps the sums in step.

What an agent is taken for stands in one row, so that it changes for all of its hits at once.
Therefore their sums change in the same transaction: by the difference, of which only what
the new words touch is counted.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import orjson

from aggregator.classifying.agents import classify
from aggregator.classifying.lists import LIST_VERSION
from aggregator.describing.store import NO_AGENT
from aggregator.forgetting.store import next_block
from aggregator.rolling.cells import (
    ANY_FIRSTS,
    ANY_LASTS,
    FIRSTS,
    LASTS,
    OF_BOTS,
    Cells,
    Seen,
    Who,
    cell_of,
    count,
    seen_from,
)
from aggregator.rolling.fields import (
    CLICK,
    DIMENSION_NUMBERS,
    FIELD_NUMBERS,
    FROM_HIT,
    MISSING,
)
from aggregator.rolling.spans.store import (
    ALL,
    HOUR,
    SEEN,
    are_regular,
    names_of,
    past_of,
    put_regular,
    values_of,
)
from aggregator.rolling.store import BLOCKS_IN_SPAN, add_cells, place
from aggregator.rolling.visitors import (
    NO_CLICK,
    Spans,
    count_crowd,
    joined,
    move,
    spans_of,
)
from milepost.sqlite import Connection

AGENTS_AT_ONCE = 200
LINKS_TOLD_MAX = 1_000
BATCH_MAX = (1 << 63) - 1
HUMAN = "human"
WORDS = ("class", "device", "os", "browser")

OLD = """
    SELECT agent_class.agent, coalesce(text.value, ''), class.value, device.value, os.value,
           browser.value
      FROM agent_class
      LEFT JOIN text ON text.id = agent_class.agent
      LEFT JOIN text AS class ON class.id = agent_class.class
      LEFT JOIN text AS device ON device.id = agent_class.device
      LEFT JOIN text AS os ON os.id = agent_class.os
      LEFT JOIN text AS browser ON browser.id = agent_class.browser
     WHERE agent_class.version < ? AND agent_class.agent > ? ORDER BY agent_class.agent LIMIT ?
"""
LEFT = "SELECT count(*) FROM agent_class WHERE version < ?"
RENEW = "UPDATE agent_class SET version = ? WHERE agent = ?"
DESCRIBE = """
    UPDATE agent_class SET version = ?, class = ?, device = ?, os = ?, browser = ? WHERE agent = ?
"""
PUT_TEXT = "INSERT INTO text (value) VALUES (?) ON CONFLICT DO NOTHING"
TEXT_ID = "SELECT id FROM text WHERE value = ?"

OF_AGENT = "hit.batch BETWEEN sought.value ->> 0 AND sought.value ->> 1"
ROWS = f"""
    SELECT {SEEN}, {values_of(ALL)}
      FROM json_each(?) AS sought CROSS JOIN {FROM_HIT}
     WHERE {OF_AGENT} AND +coalesce(hit.agent, 0) = ? AND hit.batch <= ?
"""
CLICKS_OF = f"""
    SELECT hit.epoch, {HOUR}, hit.visitor, 1, agent_class.class IS (SELECT id FROM text
            WHERE value = '{HUMAN}'), {values_of(ALL)}, coalesce(hit.agent, 0)
      FROM json_each(?) AS asked CROSS JOIN {FROM_HIT}
     WHERE hit.epoch = asked.value ->> 0 AND hit.visitor = unhex(asked.value ->> 1)
       AND hit.batch <= ? AND {CLICK}
"""
BY_LINK = f"""
    SELECT (SELECT value FROM text WHERE id = hit.link), count(*), coalesce(sum({CLICK}), 0)
      FROM json_each(?) AS sought CROSS JOIN hit
     WHERE {OF_AGENT} AND +coalesce(hit.agent, 0) = ?
     GROUP BY +hit.link
"""
POST = f"""
    INSERT OR IGNORE INTO posting (span, field, value, block)
    SELECT posting.span, ?, ?, posting.block
      FROM (SELECT DISTINCT id / {BLOCKS_IN_SPAN} AS number FROM block) AS span CROSS JOIN posting
     WHERE posting.span = span.number AND posting.field = {FIELD_NUMBERS["agent"]}
       AND posting.value = ?
"""
POST_EVERYWHERE = f"""
    INSERT OR IGNORE INTO posting (span, field, value, block)
    SELECT id / {BLOCKS_IN_SPAN}, ?, ?, id FROM block
"""


class Old(NamedTuple):
    """An agent that was described by older lists, and what it is taken for now."""

    agent: int
    was: tuple[str | None, ...]
    now: tuple[str | None, ...]


class Moved(NamedTuple):
    """Hits of one link that are of another class than before."""

    link: str | None
    was: str
    now: str


class Prospect(NamedTuple):
    """What describing everything anew comes to."""

    agents: int  # that older lists described
    changed: int
    hits: Counter[Moved]
    clicks: Counter[Moved]


class Done(NamedTuple):
    """What one transaction did."""

    agents: int
    changed: int
    hits: int
    left: int


def look(db: Connection) -> Prospect:
    """Return how many hits and clicks would be of another class, link by link."""
    hits: Counter[Moved] = Counter()
    clicks: Counter[Moved] = Counter()
    agents, changed, after = 0, 0, -1
    while found := _old(db, after):
        agents, after = agents + len(found), found[-1].agent
        for each in found:
            changed += each.was != each.now
            if each.was[0] == each.now[0]:
                continue
            for link, hit, click in db.execute(BY_LINK, (_where(db, each.agent), each.agent)):
                moved = Moved(link, str(each.was[0]), str(each.now[0]))
                hits[moved] += hit
                clicks[moved] += click
    return Prospect(agents, changed, hits, clicks)


def reclassify(db: Connection) -> Done:
    """Describe some agents anew: of those that change, one."""
    agents = changed = hits = 0
    for each in _old(db, -1):
        agents += 1
        if each.was == each.now:
            db.execute(RENEW, (LIST_VERSION, each.agent))
            continue
        hits, changed = _describe(db, each), 1
        break
    (left,) = db.execute(LEFT, (LIST_VERSION,)).fetchone()
    return Done(agents, changed, hits, left)


def _old(db: Connection, after: int) -> list[Old]:
    rows = db.execute(OLD, (LIST_VERSION, after, AGENTS_AT_ONCE)).fetchall()
    return [Old(agent, tuple(was), tuple(classify(text))) for agent, text, *was in rows]


def _where(db: Connection, agent: int) -> str:
    """Return from which to which batch there can be hits of *agent*."""
    upto, found = 0, []
    rolled = place(db)
    while agent != NO_AGENT and (block := next_block(db, "agent", agent, upto)) is not None:
        found.append(block)
        upto = block[1]
    found.append((0 if agent == NO_AGENT else rolled + 1, BATCH_MAX))
    return orjson.dumps(found).decode()


def _describe(db: Connection, old: Old) -> int:
    """Describe one agent anew; return how many hits it has that are rolled up."""
    ids = [None if word is None else _text_id(db, word) for word in old.now]
    upto = place(db)
    was = seen_from(db.execute(ROWS, (_where(db, old.agent), old.agent, upto)), len(ALL))
    has = _as_now(was, old, ids, [True] * len(was.hours))
    cells: Cells = {}
    for seen, sign in ((was, -1), (has, 1)):
        count(cells, _only(seen, old), _touched(old), sign)
    _move_visitors(db, cells, old, ids, {*was.of_visitors().who()})
    db.execute(DESCRIBE, (LIST_VERSION, *ids, old.agent))
    add_cells(db, cells)
    _post(db, old, ids)
    return len(was.hours)


def _move_visitors(
    db: Connection,
    cells: Cells,
    old: Old,
    ids: Sequence[int | None],
    who: Collection[Who],
) -> None:
    """Count the visitors who clicked with *old* as what it is now: their clicks are read once."""
    rows = db.execute(CLICKS_OF, (names_of(who), place(db)))
    read = seen_from(rows, len(ALL) + 1)
    marks = [agent == old.agent for agent in read.values[-1]]
    clicks = read._replace(values=read.values[:-1])
    was, has = (_only(each, old) for each in (clicks, _as_now(clicks, old, ids, marks)))
    dimensions = _touched(old)
    regular, past = are_regular(db, who), _past_of(db, who, dimensions)
    crowd = [each not in past for each in clicks.who()]
    _count_crowd(cells, was.only(crowd), dimensions, -1)
    _count_crowd(cells, has.only(crowd), dimensions, 1)
    few = [each in past or each in regular for each in clicks.who()]
    before, after = (joined(spans_of(each.only(few), dimensions), past) for each in (was, has))
    move(cells, *({each: spans[each] for each in past} for spans in (before, after)))
    for each in regular:
        put_regular(db, each, dict.fromkeys(before[each], NO_CLICK) | after[each])


def _past_of(db: Connection, who: Collection[Who], dimensions: Collection[int]) -> dict[Who, Spans]:
    """Return the spans of clicks whose rows are gone: as the rows are read, by *dimensions*."""
    return {
        each: {key: span for key, span in spans.items() if key[0] in dimensions}
        for each, spans in past_of(db, who).items()
    }


def _count_crowd(cells: Cells, clicks: Seen, dimensions: Sequence[int], sign: int) -> None:
    """Add the visitors of *clicks*, which are all that they have, or take them away.

    People, bots and both together are counted one after another: some visitors are both.
    """
    bots = [not human for human in clicks.humans]
    for marks, columns in (
        (clicks.humans, (FIRSTS, LASTS)),
        (bots, (OF_BOTS + FIRSTS, OF_BOTS + LASTS)),
        ([True] * len(bots), (ANY_FIRSTS, ANY_LASTS)),
    ):
        counted: Cells = {}
        count_crowd(counted, clicks.only(marks), seen_from([], len(dimensions)), dimensions)
        for key, cell in counted.items():
            into = cell_of(cells, key)
            for column in columns:
                into[column] += sign * cell[column]


def _touched(old: Old) -> tuple[int, ...]:
    """Return the dimensions whose sums change: all, if bots become people or the other way."""
    if (old.was[0] == HUMAN) != (old.now[0] == HUMAN):
        return ALL
    pairs = zip(WORDS, old.was, old.now, strict=True)
    return tuple(sorted(DIMENSION_NUMBERS[name] for name, was, now in pairs if was != now))


def _only(seen: Seen, old: Old) -> Seen:
    return seen._replace(values=[seen.values[number] for number in _touched(old)])


def _as_now(seen: Seen, old: Old, ids: Sequence[int | None], marks: Sequence[bool]) -> Seen:
    """Return *seen* with the new words where it is marked."""
    human = old.now[0] == HUMAN
    values: list[Sequence[Any]] = list(seen.values)
    for name, word in zip(WORDS, ids, strict=True):
        number = DIMENSION_NUMBERS[name]
        column = zip(values[number], marks, strict=True)
        values[number] = [(word or 0) if mark else each for each, mark in column]
    humans = [human if mark else each for each, mark in zip(seen.humans, marks, strict=True)]
    return seen._replace(humans=humans, values=values)


def _post(db: Connection, old: Old, ids: Sequence[int | None]) -> None:
    """Name the blocks of *old* under its new words; under its old ones they may stay."""
    for name, number in zip(WORDS, ids, strict=True):
        word = MISSING if number is None else number
        if old.agent == NO_AGENT:
            db.execute(POST_EVERYWHERE, (FIELD_NUMBERS[name], word))
        else:
            db.execute(POST, (FIELD_NUMBERS[name], word, old.agent))


def _text_id(db: Connection, value: str) -> int:
    db.execute(PUT_TEXT, (value,))
    (found,) = db.execute(TEXT_ID, (value,)).fetchone()
    return int(found)
