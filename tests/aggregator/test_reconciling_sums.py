"""What is summed in the database, beside what the rules say of every single hour."""

from random import Random

import pytest

from aggregator.reconciling.reckoner import Reckoner
from aggregator.reconciling.rules import Books, Row, reckon
from aggregator.reconciling.store import find_all
from aggregator.reconciling.summing import Range, summarize
from milepost.batch import HOUR_MS, hour_of
from milepost.sqlite import Connection
from tests.aggregator.combined_world import DAMAGED, NOTHING, START, World

HOUR = hour_of(START)
ALL = Range(start_ms=0, end_ms=1 << 62)
LIVES = 40
REGIONS = ("dfw", "cdg", "nrt")


def _fill(db: Connection, chance: Random) -> None:
    """Write what no honest history would, beside what most would."""
    db.execute("INSERT INTO source (url, found_ms, gone_ms) VALUES ('http://gone', 0, 5)")
    for number in range(LIVES):
        life = bytes([number]) * 16
        source = chance.choice(["http://gone", "http://there"])
        row = (life, source, chance.choice(REGIONS), number % 3, *_bits(chance, 2))
        db.execute("INSERT INTO life VALUES (?, ?, ?, 'm', ?, 7, ?, ?, 9, 0, NULL)", row)
        stream = (life, source, life, *_bits(chance, 2), *_seqs(chance))
        db.execute(
            "INSERT INTO stream (stream, source, region, life, created_ms, open, present, seq,"
            " chain, records, last_seq, last_records, last_chain, file_seq, file_records)"
            " VALUES (?, ?, 'dfw', ?, 5, ?, ?, ?, ?, 3, ?, 4, ?, 0, 0)",
            stream,
        )
        for hour in range(chance.randrange(6)):
            _fill_hour(db, chance, life, HOUR + hour * HOUR_MS)


def _fill_hour(db: Connection, chance: Random, life: bytes, hour: int) -> None:
    accepted = chance.choice([0, 10, 10, 1 << 50])
    counts = chance.choice([(0, 1, 2), (0, 1, 2), (0, 0, 0), (1, 9, 0)])
    if chance.random() < 0.9:
        db.execute("INSERT INTO meter VALUES (?, ?, ?, 3, 3)", (life, hour, accepted))
    if chance.random() < 0.9:
        pulled = accepted + chance.choice([0, 0, 0, 0, -1, 1])
        tally = (life, hour, accepted, *counts, pulled)
        db.execute("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?, 0)", tally)


def _bits(chance: Random, count: int) -> list[int]:
    return [chance.randrange(2) for _ in range(count)]


def _seqs(chance: Random) -> tuple[int, bytes, int, bytes]:
    chain = bytes(32)
    return chance.randrange(2, 4), chain, 3, chance.choice([chain, bytes([1]) * 32])


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_summed_in_the_database_is_what_the_rules_say(
    world: World, seed: int
) -> None:
    """Even hours are summed in SQL; the rules, asked for every single one, say the same."""
    await world.writer.transact(lambda db: _fill(db, Random(seed)))
    wanted = Range(start_ms=HOUR + HOUR_MS, end_ms=HOUR + 3 * HOUR_MS)

    summary = await Reckoner(world.readers).reckon(wanted)

    expected = summarize([], reckon(await _all_books(world)), [], wanted)
    assert summary.total == expected.total
    assert summary.regions == expected.regions
    assert summary.hours == expected.hours
    assert summary.alarms == expected.alarms


async def _all_books(world: World) -> Books:
    """Return everything, with the even hours among it."""
    found = await find_all(world.readers, ALL)
    sql = """
        SELECT life, hour_ms, m.accepted, ifnull(m.shed, 0), ifnull(m.excluded, 0),
               ifnull(recorded, 0), ifnull(late, 0), ifnull(t.shed, 0), ifnull(t.excluded, 0),
               ifnull(pulled, 0), ifnull(set_aside, 0)
          FROM meter m FULL JOIN tally t USING (life, hour_ms)
    """
    rows = [Row(*row) for row in await world.readers.rows(sql)]
    every = f"{DAMAGED} SELECT stream, 0, 1, '[]', {NOTHING} FROM stream"
    await world.writer.transact(lambda db: db.execute(every))
    named = await find_all(world.readers, ALL)  # so that every life is named
    return Books(rows=rows, lives=named.lives, streams=named.streams, sealed=found.sealed)
