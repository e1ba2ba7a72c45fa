"""The SQL that changes the combined database, and the cursors.

One transaction per pulled answer: announcements, batches, hits, tallies and
cursors become true together or not at all, and so each batch counts once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aggregator.hits.interning import TextCache
from aggregator.hits.store import HitWriter
from aggregator.opening import store as sealed
from aggregator.opening.batches import Outcome
from aggregator.pulling import store as pulled
from aggregator.pulling.select import Selection
from milepost.batch import Batch
from milepost.database import Readers, Writer
from milepost.sqlite import Connection
from milepost.vocabulary import (
    Epoch,
    Generation,
    LifeId,
    Millis,
    StreamId,
)
from milepost.wire import STREAMS_MAX, Cursor, PullAnswer

GENERATION = "SELECT generation FROM meta"
BEGIN_GENERATION = "INSERT INTO meta (generation) VALUES (?)"

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
        return pulled.cursors_from(
            await self._readers.rows(pulled.CURSORS_OF_SOURCE, (source, STREAMS_MAX))
        )

    async def ended_of(self, source: str) -> frozenset[LifeId]:
        """Return the lives that *source* told last of, and whose last counts are stored."""
        return pulled.lives_from(await self._readers.rows(pulled.LIVES_ENDED_OF_SOURCE, (source,)))

    async def ended_present(self) -> frozenset[LifeId]:
        """Return the ended lives that some source still tells of."""
        return pulled.lives_from(await self._readers.rows(pulled.LIVES_ENDED))

    async def cursors_present(self) -> dict[StreamId, Cursor]:
        """Return how far every stream is applied that some source still has."""
        return pulled.cursors_from(await self._readers.rows(pulled.CURSORS_PRESENT))

    async def cursors(self, streams: Iterable[StreamId]) -> dict[StreamId, Cursor]:
        """Return how far those of *streams* are applied that are known."""
        return pulled.cursors_from(
            await self._readers.rows(pulled.CURSORS_NAMED, (pulled.hex_list(streams),))
        )

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
            pulled.announce(db, source, answer, selection, now)
            done = Counter(sealed.apply_batch(db, hits, each) for each in outcomes)
            pulled.move_cursors(db, selection)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def settle(self, outcomes: Sequence[Outcome]) -> Counter[str]:
        """Put what came of batches that waited, or were set aside, in their place."""

        def work(db: Connection, hits: HitWriter) -> Counter[str]:
            done = Counter(sealed.settle_batch(db, hits, each) for each in outcomes)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def waiting_epochs(self) -> list[Epoch]:
        """Return the epochs of the batches that wait for a key."""
        return [Epoch(epoch) for (epoch,) in await self._readers.rows(sealed.WAITING_EPOCHS)]

    async def waiting(self, epoch: Epoch, limit: int) -> list[Batch]:
        """Return up to *limit* batches of *epoch* that wait for its key."""
        rows = await self._readers.rows(sealed.WAITING_BATCHES, (epoch, limit))
        return [sealed.batch_from(row) for row in rows]

    async def set_aside(self, after: bytes, limit: int) -> list[Batch]:
        """Return up to *limit* batches that are set aside, by their ids behind *after*."""
        return [
            sealed.batch_from(row)
            for row in await self._readers.rows(sealed.SET_ASIDE_BATCHES, (after, limit))
        ]

    async def count_sealed(self) -> tuple[Count, Count]:
        """Return what waits, and what is set aside."""
        found = {
            bool(aside): Count(*rest) for aside, *rest in await self._readers.rows(sealed.SEALED)
        }
        (alone,) = await self._readers.row(sealed.SET_ASIDE_RECORDS) or (0,)
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
