"""The SQL that changes the combined database, and the cursors.

One transaction per pulled answer: announcements, batches, hits, tallies and
cursors become true together or not at all, and so each batch counts once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aggregator import metrics
from aggregator.abandoning import store as abandoned
from aggregator.describing.store import Described
from aggregator.forgetting.rules import Erased
from aggregator.forgetting.store import load_erased
from aggregator.hits.interning import TextCache
from aggregator.hits.store import HitWriter
from aggregator.opening import store as sealed
from aggregator.opening.batches import Outcome
from aggregator.pulling import store as pulled
from aggregator.pulling.select import Selection
from aggregator.pulling.standing import Standing
from milepost.batch import Batch
from milepost.database import Readers, Writer
from milepost.sqlite import Connection
from milepost.vocabulary import (
    BatchId,
    Epoch,
    LifeId,
    Millis,
    Seq,
    StreamId,
)
from milepost.wire import STREAMS_MAX, PullAnswer

# What is erased is overwritten, and not only left out.
SECURE_DELETE = "PRAGMA secure_delete=ON"

TEXTS_REMEMBERED_MAX, DESCRIBED_REMEMBERED_MAX = 50_000, 20_000


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Count:
    """How many batches, and how many records: those they hold, and those set aside alone."""

    batches: int = 0
    records: int = 0


class Store:
    """The combined database as the pulling side sees it."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._texts = TextCache(TEXTS_REMEMBERED_MAX)
        self._described = Described(DESCRIBED_REMEMBERED_MAX)
        self._erased: Erased | None = None  # None: the database has to be asked
        self._one_at_a_time = asyncio.Lock()
        self.commits = 0  # rises when something was made durable

    async def standings_of(self, source: str) -> dict[StreamId, Standing]:
        """Return where the streams stand that *source* announced last."""
        rows = await self._readers.rows(pulled.STANDINGS_OF_SOURCE, (source, STREAMS_MAX))
        return pulled.standings_from(rows)

    async def ended_of(self, source: str) -> frozenset[LifeId]:
        """Return the lives that *source* told last of, and whose last counts are stored."""
        return pulled.lives_from(await self._readers.rows(pulled.LIVES_ENDED_OF_SOURCE, (source,)))

    async def ended_present(self) -> frozenset[LifeId]:
        """Return the ended lives that some source still tells of."""
        return pulled.lives_from(await self._readers.rows(pulled.LIVES_ENDED))

    async def standings_present(self) -> dict[StreamId, Standing]:
        """Return where every stream stands that some source still has."""
        return pulled.standings_from(await self._readers.rows(pulled.STANDINGS_PRESENT))

    async def standings(self, streams: Iterable[StreamId]) -> dict[StreamId, Standing]:
        """Return where those of *streams* stand that are known, and what is damaged in them."""
        named = pulled.hex_list(streams)
        async with self._readers.snapshot() as db:
            rows = list(await db.execute_fetchall(pulled.STANDINGS_NAMED, (named,)))
            holes = list(await db.execute_fetchall(pulled.HOLES, (named, pulled.HOLES_MAX)))
        return pulled.standings_from(rows, holes)

    async def promised(self, streams: Iterable[StreamId]) -> dict[StreamId, Seq]:
        """Return the most that was ever announced of those of *streams* that are known."""
        rows = await self._readers.rows(pulled.PROMISED, (pulled.hex_list(streams),))
        return {StreamId(stream): Seq(last_seq) for stream, last_seq in rows}

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
            pulled.begin_branches(db, source, selection, now)
            done = Counter(sealed.apply_batch(db, hits, each) for each in outcomes)
            pulled.drop_damaged(db, selection.fresh)
            done["damaged"] = pulled.put_damaged(db, selection.damaged, now)
            pulled.move_cursors(db, source, selection)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def apply_copy(
        self, answer: PullAnswer, selection: Selection, outcomes: Sequence[Outcome], now: Millis
    ) -> Counter[str]:
        """Make true what a copy of one stream brought, of which no source is heard.

        The cursor moves if it is where *selection* begins; it is not if the copy has
        another history, or if the stream was pulled meanwhile.
        """

        def work(db: Connection, hits: HitWriter) -> Counter[str]:
            pulled.announce_copy(db, answer, selection)
            done = Counter(sealed.apply_batch(db, hits, each) for each in outcomes)
            pulled.drop_damaged(db, selection.fresh)
            done["damaged"] = pulled.put_damaged(db, selection.damaged, now)
            pulled.move_cursors(db, pulled.OF_COPIES, selection, must=False)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def applied(self, batches: Iterable[BatchId]) -> frozenset[BatchId]:
        """Return which of *batches* were applied."""
        return sealed.batches_from(
            await self._readers.rows(sealed.APPLIED, (pulled.hex_list(batches),))
        )

    async def settle(self, outcomes: Sequence[Outcome]) -> Counter[str]:
        """Put what came of batches that waited, or were set aside, in their place."""

        def work(db: Connection, hits: HitWriter) -> Counter[str]:
            done = Counter(sealed.settle_batch(db, hits, each) for each in outcomes)
            done["hits"] += hits.written
            return done

        return await self._transact(work)

    async def abandon_stream(self, stream: StreamId, now: Millis) -> None:
        """Write the rest of *stream* off."""
        await self._transact(lambda db, _hits: abandoned.abandon_stream(db, stream, now))

    async def abandon_source(self, source: str, now: Millis) -> None:
        """Write the rest of every stream of *source* off."""
        await self._transact(lambda db, _hits: abandoned.abandon_source(db, source, now))

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
        damaged = await self.count_damaged()
        aside = found.get(True, Count())
        return found.get(False, Count()), Count(
            aside.batches + damaged.batches, aside.records + damaged.records + alone
        )

    async def count_damaged(self) -> Count:
        """Return what is set aside because it is not as it was written, as it claims itself."""
        return Count(*await self._readers.row(pulled.DAMAGED) or ())

    async def change(self, work: Callable[[Connection], T]) -> T:
        """Run *work* of another store in one transaction; it touches no hit and no cursor."""
        return await self._writer.transact(work)

    async def forget(self, work: Callable[[Connection], Iterable[str]]) -> None:
        """Do *work*, which adds erase rules, or removes the texts that it returns.

        What is pulled from then on is held against the rules, and gets new texts.
        """
        async with self._one_at_a_time:
            self._erased = None
            try:
                gone = list(await self._writer.transact(work))
            except BaseException:  # it may have happened
                self._texts = TextCache(TEXTS_REMEMBERED_MAX)
                self._described = Described(DESCRIBED_REMEMBERED_MAX)
                raise
            self._texts.forget(gone)
            self._described.forget(gone)

    async def _transact(self, work: Callable[[Connection, HitWriter], T]) -> T:
        # One at a time, so that what a transaction learned is remembered before the next begins.
        def run(db: Connection) -> tuple[T, HitWriter, Erased]:
            erased = load_erased(db) if self._erased is None else self._erased
            hits = HitWriter(db, self._texts, self._described, erased)
            return work(db, hits), hits, erased

        async with self._one_at_a_time:
            result, hits, self._erased = await self._writer.transact(run)
            hits.keep()
            metrics.ERASED.inc(hits.refused)
            self.commits += 1
        return result
