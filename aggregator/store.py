"""The SQL that changes the combined database, and the cursors.

One transaction per pulled answer: announcements, batches, hits, tallies and
cursors become true together or not at all, and so each batch counts once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from aggregator.apply import Selection, beginning
from aggregator.hits.interning import TextCache
from aggregator.hits.store import HitWriter
from aggregator.opening import Opened, Outcome, SetAside, Waiting, needs_addresses
from milepost.batch import Batch, Header, add_tallies, parse_tally
from milepost.database import Readers, Writer
from milepost.errors import UnavailableError
from milepost.sqlite import Connection
from milepost.vocabulary import (
    BatchId,
    Chain,
    Epoch,
    Generation,
    KeyId,
    LifeId,
    Millis,
    Seq,
    StreamId,
)
from milepost.wire import STREAMS_MAX, Cursor, Life, PullAnswer, StreamHead

GENERATION = "SELECT generation FROM meta"
BEGIN_GENERATION = "INSERT INTO meta (generation) VALUES (?)"

CURSORS_OF_SOURCE = """
    SELECT stream, seq, chain FROM stream
     WHERE source = ? AND present = 1 ORDER BY created_ms DESC LIMIT ?
"""
CURSORS_PRESENT = "SELECT stream, seq, chain FROM stream WHERE present = 1"
CURSORS_NAMED = """
    SELECT stream, seq, chain FROM stream
     WHERE stream IN (SELECT unhex(value) FROM json_each(?))
"""

PUT_SOURCE = """
    INSERT INTO source (url, region, machine, version, last_success_ms) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (url) DO UPDATE
       SET region = excluded.region, machine = excluded.machine,
           version = excluded.version, last_success_ms = excluded.last_success_ms
"""
MARK_ABSENT = """
    UPDATE stream SET present = 0
     WHERE source = ? AND present = 1
       AND stream NOT IN (SELECT unhex(value) FROM json_each(?))
"""
# What was announced once stays promised, also when a file comes back shorter.
PUT_STREAM = """
    INSERT INTO stream (stream, source, region, life, created_ms, open, present,
                        seq, chain, records, last_seq, last_records, fault)
    VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, 0, ?, ?, ?)
        ON CONFLICT (stream) DO UPDATE
       SET source = excluded.source, region = excluded.region, life = excluded.life,
           open = excluded.open, present = 1, fault = excluded.fault,
           last_seq = max(last_seq, excluded.last_seq),
           last_records = max(last_records, excluded.last_records)
"""
MARK_LIVES_ABSENT = "UPDATE life SET present = 0 WHERE source = ? AND present = 1"
PUT_LIFE = """
    INSERT INTO life (life, source, region, worker, started_ms, alive, present)
    VALUES (?, ?, ?, ?, ?, ?, 1)
        ON CONFLICT (life) DO UPDATE
       SET source = excluded.source, alive = excluded.alive, present = 1
"""
LIVES_ENDED = "SELECT life FROM life WHERE alive = 0 AND present = 1"
LIVES_ENDED_OF_SOURCE = f"{LIVES_ENDED} AND source = ?"
# A meter only rises: one that comes back lower is an older copy, and hides nothing.
PUT_METER = """
    INSERT INTO meter (life, hour_ms, accepted, shed, excluded) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (life, hour_ms) DO UPDATE
       SET accepted = max(accepted, excluded.accepted),
           shed     = max(shed, excluded.shed),
           excluded = max(meter.excluded, excluded.excluded)
"""

MOVE_CURSOR = """
    UPDATE stream SET seq = ?, chain = ?, records = records + ?
     WHERE stream = ? AND seq = ? AND chain = ?
"""

PUT_APPLIED = """
    INSERT INTO applied (batch, stream, seq, epoch, key, count, first_ms, last_ms, tally)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (batch) DO NOTHING
"""
PUT_SEALED = "INSERT INTO sealed (batch, epoch, reason, records) VALUES (?, ?, ?, ?)"
PUT_RAW = "INSERT INTO set_aside_record (batch, idx, reason, fields) VALUES (?, ?, ?, ?)"
PUT_ADDRESSES = "INSERT INTO address_box (batch, addresses) VALUES (?, ?)"
# Beyond 2^53 - 1 a count is nonsense, and a sum that overflowed would stop every later answer.
ADD_TALLY = """
    INSERT INTO tally (region, hour_ms, recorded, late, shed, excluded) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (region, hour_ms) DO UPDATE
       SET recorded = min(recorded + excluded.recorded, 9007199254740991),
           late     = min(late     + excluded.late,     9007199254740991),
           shed     = min(shed     + excluded.shed,     9007199254740991),
           excluded = min(tally.excluded + excluded.excluded, 9007199254740991)
"""

WAITING_EPOCHS = "SELECT DISTINCT epoch FROM sealed WHERE reason IS NULL"
WAITING_BATCHES = """
    SELECT stream, seq, sealed.batch, sealed.epoch, key, count, first_ms, last_ms, tally, records
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NULL AND sealed.epoch = ? LIMIT ?
"""
SEALED = """
    SELECT reason IS NOT NULL, count(*), sum(count) FROM sealed JOIN applied USING (batch)
     GROUP BY 1
"""
SET_ASIDE_RECORDS = "SELECT count(*) FROM set_aside_record"
SET_ASIDE_BATCHES = """
    SELECT stream, seq, sealed.batch, sealed.epoch, key, count, first_ms, last_ms, tally, records
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NOT NULL AND sealed.batch > ? ORDER BY sealed.batch LIMIT ?
"""
TAKE_SEALED = "DELETE FROM sealed WHERE batch = ?"
SET_ASIDE = "UPDATE sealed SET reason = ? WHERE batch = ?"
RENUMBER = """
    UPDATE applied SET id = (SELECT max(id) + 1 FROM applied) WHERE batch = ? RETURNING id
"""
DROP_ADDRESSES = "DELETE FROM address_box WHERE batch = ?"

TEXTS_REMEMBERED_MAX = 50_000


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Count:
    """How many batches, and how many records: those they hold, and those set aside alone."""

    batches: int = 0
    records: int = 0


class Store:
    """The combined database as the pulling side sees it."""

    def __init__(self, writer: Writer, readers: Readers, generation: Generation) -> None:
        self._writer = writer
        self._readers = readers
        self._texts = TextCache(TEXTS_REMEMBERED_MAX)
        self._one_at_a_time = asyncio.Lock()
        self.generation = generation
        self.commits = 0  # rises when something was made durable

    @classmethod
    async def open(cls, writer: Writer, readers: Readers, now: Millis) -> "Store":
        """Return the store; give a database that was just made its generation."""
        return cls(writer, readers, await writer.transact(lambda db: _generation(db, now)))

    async def cursors_of(self, source: str) -> dict[StreamId, Cursor]:
        """Return how far the streams are applied that *source* announced last."""
        return _cursors(await self._readers.rows(CURSORS_OF_SOURCE, (source, STREAMS_MAX)))

    async def ended_of(self, source: str) -> frozenset[LifeId]:
        """Return the lives that *source* told last of, and whose last counts are stored."""
        return _lives(await self._readers.rows(LIVES_ENDED_OF_SOURCE, (source,)))

    async def ended_present(self) -> frozenset[LifeId]:
        """Return the ended lives that some source still tells of."""
        return _lives(await self._readers.rows(LIVES_ENDED))

    async def cursors_present(self) -> dict[StreamId, Cursor]:
        """Return how far every stream is applied that some source still has."""
        return _cursors(await self._readers.rows(CURSORS_PRESENT))

    async def cursors(self, streams: Iterable[StreamId]) -> dict[StreamId, Cursor]:
        """Return how far those of *streams* are applied that are known."""
        return _cursors(await self._readers.rows(CURSORS_NAMED, (_hex_list(streams),)))

    async def apply(
        self,
        source: str,
        answer: PullAnswer,
        selection: Selection,
        outcomes: Sequence[Outcome],
        now: Millis,
    ) -> Counter[str]:
        """Make what *answer* brought true, all or nothing; count hits and outcomes.

        UnavailableError means that nothing is lost by asking the source again.
        """

        def work(db: Connection, hits: HitWriter) -> Counter[str]:
            _announce(db, source, answer, selection, now)
            done = Counter(_apply_batch(db, hits, answer.region, each) for each in outcomes)
            _move_cursors(db, selection)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def settle(self, outcomes: Sequence[Outcome]) -> Counter[str]:
        """Put what came of batches that waited, or were set aside, in their place."""

        def work(db: Connection, hits: HitWriter) -> Counter[str]:
            done = Counter(_settle_batch(db, hits, each) for each in outcomes)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def waiting_epochs(self) -> list[Epoch]:
        """Return the epochs of the batches that wait for a key."""
        return [Epoch(epoch) for (epoch,) in await self._readers.rows(WAITING_EPOCHS)]

    async def waiting(self, epoch: Epoch, limit: int) -> list[Batch]:
        """Return up to *limit* batches of *epoch* that wait for its key."""
        rows = await self._readers.rows(WAITING_BATCHES, (epoch, limit))
        return [_batch(row) for row in rows]

    async def set_aside(self, after: bytes, limit: int) -> list[Batch]:
        """Return up to *limit* batches that are set aside, by their ids behind *after*."""
        return [_batch(row) for row in await self._readers.rows(SET_ASIDE_BATCHES, (after, limit))]

    async def count_sealed(self) -> tuple[Count, Count]:
        """Return what waits, and what is set aside."""
        found = {bool(aside): Count(*rest) for aside, *rest in await self._readers.rows(SEALED)}
        (alone,) = await self._readers.row(SET_ASIDE_RECORDS) or (0,)
        aside = found.get(True, Count())
        return found.get(False, Count()), Count(aside.batches, aside.records + alone)

    async def _transact(self, work: Callable[[Connection, HitWriter], T]) -> T:
        # One at a time, so that what a transaction learned is remembered before the next begins.
        def run(db: Connection) -> tuple[T, dict[str, int]]:
            hits = HitWriter(db, self._texts)
            return work(db, hits), hits.learned

        async with self._one_at_a_time:
            result, learned = await self._writer.transact(run)
            self._texts.remember(learned)
            self.commits += 1
        return result


def _generation(db: Connection, now: Millis) -> Generation:
    row = db.execute(GENERATION).fetchone()
    if row is None:
        db.execute(BEGIN_GENERATION, (now,))
        return Generation(now)
    return Generation(row[0])


def _announce(
    db: Connection, source: str, answer: PullAnswer, selection: Selection, now: Millis
) -> None:
    db.execute(PUT_SOURCE, (source, answer.region, answer.machine, answer.version, now))
    db.execute(MARK_ABSENT, (source, _hex_list(head.id for head in answer.streams)))
    db.executemany(
        PUT_STREAM,
        (_stream_row(source, answer.region, head, selection) for head in answer.streams),
    )
    db.execute(MARK_LIVES_ABSENT, (source,))
    db.executemany(PUT_LIFE, (_life_row(source, answer.region, life) for life in answer.lives))
    db.executemany(PUT_METER, ((life.id, *row) for life in answer.lives for row in life.meter))


def _stream_row(
    source: str, region: str, head: StreamHead, selection: Selection
) -> tuple[Any, ...]:
    return (
        head.id,
        source,
        region,
        head.life,
        head.created_ms,
        head.open,
        beginning(head.id).chain,
        head.last_seq,
        head.records,
        selection.faults.get(head.id),
    )


def _life_row(source: str, region: str, life: Life) -> tuple[Any, ...]:
    return (life.id, source, region, life.worker, life.started_ms, life.alive)


def _apply_batch(db: Connection, hits: HitWriter, region: str, outcome: Outcome) -> str:
    batch = outcome.batch
    made = db.execute(PUT_APPLIED, _header_row(batch.header))
    if made.rowcount == 0:
        return "repeated"  # it came in another stream before, after a commit that seemed to fail
    for row in add_tallies(parse_tally(batch.header.tally)):
        db.execute(ADD_TALLY, (region, *row))
    if batch.addresses and needs_addresses(outcome):
        db.execute(PUT_ADDRESSES, (batch.header.batch, batch.addresses))
    if isinstance(outcome, Opened):
        _write(db, hits, made.lastrowid or 0, outcome)
        return "opened"
    reason = outcome.reason if isinstance(outcome, SetAside) else None
    db.execute(PUT_SEALED, (batch.header.batch, batch.header.epoch, reason, batch.records))
    return "waiting" if reason is None else "set_aside"


def _settle_batch(db: Connection, hits: HitWriter, outcome: Outcome) -> str:
    header = outcome.batch.header
    if isinstance(outcome, Waiting):
        return "waiting"
    if isinstance(outcome, SetAside):
        db.execute(SET_ASIDE, (outcome.reason, header.batch))
        return "set_aside"
    if db.execute(TAKE_SEALED, (header.batch,)).rowcount == 0:
        return "repeated"
    (number,) = db.execute(RENUMBER, (header.batch,)).fetchone()
    _write(db, hits, number, outcome)
    if not needs_addresses(outcome):
        db.execute(DROP_ADDRESSES, (header.batch,))
    return "opened"


def _write(db: Connection, hits: HitWriter, number: int, opened: Opened) -> None:
    header, body = opened.batch.header, opened.body
    hits.write(number, header.epoch, body)
    rows = (
        (header.batch, each.index, each.reason, orjson.dumps(dict(each.fields)).decode())
        for each in body.raw
    )
    db.executemany(PUT_RAW, rows)


def _move_cursors(db: Connection, selection: Selection) -> None:
    counts: Counter[StreamId] = Counter()
    for batch in selection.fresh:
        counts[batch.header.stream] += batch.header.count
    for stream, after in selection.after.items():
        before = selection.before[stream]
        row = (after.seq, after.chain, counts[stream], stream, before.seq, before.chain)
        if db.execute(MOVE_CURSOR, row).rowcount != 1:
            # Two sources brought one stream at the same time: the other was first.
            msg = f"stream {stream.hex()} moved meanwhile"
            raise UnavailableError(msg)


def _header_row(header: Header) -> tuple[Any, ...]:
    return (
        header.batch,
        header.stream,
        header.seq,
        header.epoch,
        header.key,
        header.count,
        header.first_ms,
        header.last_ms,
        header.tally,
    )


def header_of(columns: Sequence[Any]) -> Header:
    """Return the header in a row's first columns: stream, seq, batch and so on to the tally."""
    stream, seq, batch, epoch, key, count, first_ms, last_ms, tally = columns
    return Header(
        stream=StreamId(stream),
        seq=Seq(seq),
        batch=BatchId(batch),
        epoch=Epoch(epoch),
        key=KeyId(key),
        count=count,
        first_ms=Millis(first_ms),
        last_ms=Millis(last_ms),
        tally=tally,
    )


def _batch(row: Any) -> Batch:
    *columns, records = row
    header = header_of(columns)
    # The chain was checked when the batch was pulled, and the address box stays where it is.
    return Batch(header=header, records=records, addresses=b"", chain=Chain(b""))


def _cursors(rows: Iterable[Any]) -> dict[StreamId, Cursor]:
    return {StreamId(stream): Cursor(Seq(seq), Chain(chain)) for stream, seq, chain in rows}


def _lives(rows: Iterable[Any]) -> frozenset[LifeId]:
    return frozenset(LifeId(life) for (life,) in rows)


def _hex_list(streams: Iterable[StreamId]) -> str:
    return orjson.dumps([stream.hex() for stream in streams]).decode()
