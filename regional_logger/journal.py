"""The journal: what visits leave behind, made durable in groups.

Visits that arrive while a commit runs form the next batch, so no timer is
needed and a batch is as large as the load.  One thread seals and writes; the
event loop only hands over and hears the outcome.

A commit that fails may have happened.  So the same batch, under the same id and
with the same tally, goes into a new stream, and the old file is never written
to again; whoever counts knows a batch by its id.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass

from milepost import sqlite
from milepost.batch import ID_BYTES
from milepost.clock import Clock, Entropy
from milepost.epochs import PublicEpoch
from milepost.logs import get_log
from milepost.record import Record
from milepost.seal import BOX_OPENED_BYTES_MAX
from milepost.vocabulary import BatchId, Millis, StreamId
from regional_logger import metrics
from regional_logger.bell import Bell
from regional_logger.beside import Beside
from regional_logger.counts import Counts
from regional_logger.keyring import Keyring
from regional_logger.meter import Meter
from regional_logger.remember import Memory
from regional_logger.replication import Keeper
from regional_logger.stream import Draft, Origin, StreamWriter
from regional_logger.waiting import Pending, Waiting

log = get_log(__name__)

# A box opens to 1 MiB at most, and visitors choose what is in their headers: a
# batch ends before the worst that JSON can make of its texts would not fit.
BATCH_BYTES_MAX = BOX_OPENED_BYTES_MAX - (64 << 10)
CHAR_BYTES_MAX = 6  # a control character, written \u0000; UTF-8 needs at most 4
RECORD_MEMORY, CHAR_MEMORY_MAX = 1_000, 4  # about what a waiting record takes
RECORD_BYTES_LEAST = 400  # numbers, hashes, and what stands between columns
TALLY_SECONDS = 10.0  # how long counts may wait when no record takes them along
RETRY_SECONDS_FIRST, RETRY_SECONDS_MAX = 0.05, 5.0
NO_KEYS_SECONDS = 0.1
CLOSE_SECONDS = 10.0
RELEASE_SECONDS_MAX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may wait and how long, stand in one batch, and stand in one stream."""

    budget_seconds: float  # 0: visitors do not wait

    queue_records_max: int
    queue_bytes_max: int
    batch_records_max: int
    stream_bytes_max: int
    stream_age_ms_max: int


class Journal:
    """Takes records in, and answers when they are on disk."""

    def __init__(
        self,
        origin: Origin,
        *,
        meter: Meter,
        keyring: Keyring,
        limits: Limits,
        bell: Bell,
        clock: Clock,
        entropy: Entropy,
        keeper: Keeper,
    ) -> None:
        self._origin, self._limits = origin, limits
        self._meter, self._keyring, self._bell = meter, keyring, bell
        self._clock, self._entropy = clock, entropy
        self._keeper = keeper
        self._counts = Counts()
        self._queue: deque[Pending] = deque()
        self._queue_bytes = 0
        self._wake = asyncio.Event()
        self._thread = Beside("stream-writer")
        self._loop = asyncio.get_running_loop()
        self._waiting = Waiting(self._loop, self._late)
        self._stream: StreamWriter | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._draining = self._turn_over_wanted = False
        self._task: asyncio.Task[None] | None = None
        self.troubled = False  # the disk refuses: waiting for it would help nobody

    # What the door calls.

    def offer(self, memory: Memory, epoch: PublicEpoch | None) -> Pending | None:
        """Take a record in; return what its visitor waits for, or None if for nothing."""
        moment = memory.record.time
        chars = _chars(memory.record)
        size = RECORD_MEMORY + CHAR_MEMORY_MAX * chars
        if self._is_full(size):
            self.shed(moment)
            return None
        self._meter.accept(moment)
        metrics.ACCEPTED.inc()
        pending = Pending(memory, epoch, chars, self._loop.time() + self._limits.budget_seconds)
        self._queue.append(pending)
        self._queue_bytes += size
        self._wake.set()
        if not self._limits.budget_seconds or self.troubled:
            self._late(pending)
            return None
        self._waiting.add(pending)
        return pending

    def _late(self, pending: Pending) -> None:
        """Count a record whose answer leaves before its commit."""
        pending.go(durable=False)
        self._counts.late(pending.memory.record.time)
        metrics.LATE.inc()

    def _is_full(self, size: int) -> bool:
        return (
            len(self._queue) >= self._limits.queue_records_max
            or self._queue_bytes + size > self._limits.queue_bytes_max
        )

    def exclude(self, moment: Millis) -> None:
        """Count a visit that is by rule not recorded."""
        self._meter.exclude(moment)
        self._counts.excluded(moment)
        metrics.EXCLUDED.inc()

    def shed(self, moment: Millis) -> None:
        """Count a visit that is answered but not kept."""
        self._meter.shed(moment)
        self._counts.shed(moment)
        metrics.SHED.inc()

    def let_all_go(self) -> None:
        """Have no visitor wait any longer: the edge ends, and each is to be answered."""
        self._waiting.let_all_go()

    def turn_over(self) -> None:
        """Close the open stream and begin the next, as soon as no commit runs."""
        self._turn_over_wanted = True
        self._wake.set()

    # The life of the journal.

    async def start(self) -> None:
        """Open the first stream and begin to commit."""
        with contextlib.suppress(sqlite.Error, OSError):  # the first commit tries again
            await self._open_stream()
        self._task = asyncio.create_task(self._run())

    async def watch(self) -> None:
        """Wait for ever; raise what ended the journal, for nothing may."""
        assert self._task is not None  # noqa: S101 - start comes first
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """Commit what is there, close the stream, end the thread."""
        self._draining = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, CLOSE_SECONDS)
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await self._leave(stream)
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=CLOSE_SECONDS)
        self._waiting.close()
        self._thread.close()

    async def _run(self) -> None:
        while True:
            idle = await self._wait_for_work()
            while self._queue:
                if not await self._commit_next():
                    break
            if self._draining or idle:
                await self._commit_counts()
            await self._turn_over_if_due()
            if self._draining:
                return

    async def _wait_for_work(self) -> bool:
        """Wait for a record; tell whether so long passed without one that counts go alone."""
        if self._queue or self._draining:
            return False
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TALLY_SECONDS):
                await self._wake.wait()
                return False
        return True

    async def _commit_next(self) -> bool:
        """Commit one batch from the queue; return False while there are no keys to seal it."""
        first = self._queue[0]
        epoch = first.epoch or self._keyring.epoch_at(first.memory.record.time)
        if epoch is None:
            if not self._draining:
                await self._clock.sleep(NO_KEYS_SECONDS)
            return False
        batch = self._take(epoch)
        records = [pending.memory.record for pending in batch]
        addresses = {
            index: pending.memory.address
            for index, pending in enumerate(batch)
            if pending.memory.address is not None
        }
        await self._commit(self._draft(epoch, records, addresses))
        for pending in batch:
            if not pending.gone:
                pending.go(durable=True)
        self._waiting.forget_gone()
        metrics.BATCH_RECORDS.observe(len(batch))
        return True

    async def _commit_counts(self) -> None:
        if self._counts.pending() and self._stream is not None:
            await self._commit(self._draft(None, [], {}))

    def _take(self, epoch: PublicEpoch) -> list[Pending]:
        """Take from the queue what fits into one batch of *epoch*."""
        batch: list[Pending] = []
        size = 0
        while self._queue and len(batch) < self._limits.batch_records_max:
            pending = self._queue[0]
            if pending.epoch is not None and pending.epoch.number != epoch.number:
                break
            size += RECORD_BYTES_LEAST + CHAR_BYTES_MAX * pending.chars
            if batch and size > BATCH_BYTES_MAX:
                break
            batch.append(self._queue.popleft())
            self._queue_bytes -= RECORD_MEMORY + CHAR_MEMORY_MAX * pending.chars
        metrics.QUEUED.set(len(self._queue))
        return batch

    def _draft(
        self, epoch: PublicEpoch | None, records: list[Record], addresses: dict[int, str]
    ) -> Draft:
        return Draft(
            batch=BatchId(self._entropy(ID_BYTES)),
            epoch=epoch,
            records=records,
            addresses=addresses,
            tally=self._counts.take(records),
            now=self._clock.now(),
        )

    async def _commit(self, draft: Draft) -> None:
        """Return when *draft* is on disk, in whichever stream takes it."""
        pause = RETRY_SECONDS_FIRST
        begun = time.monotonic()
        while not await self._try(draft):
            metrics.COMMIT_FAILURES.inc()
            self.troubled = True
            await self._clock.sleep(pause)
            pause = min(pause * 2, RETRY_SECONDS_MAX)
        self.troubled = False
        metrics.COMMIT_SECONDS.observe(time.monotonic() - begun)
        self._bell.ring()
        await self._turn_over_if_due()

    async def _try(self, draft: Draft) -> bool:
        try:
            if self._stream is None:
                await self._open_stream()
            assert self._stream is not None  # noqa: S101 - opened above
            await self._thread.do(self._stream.append, draft, stand_by=bool(self._waiting))
        except (sqlite.Error, OSError) as error:
            log.warning("commit.failed", reason=str(error), error=type(error).__name__)
            self._abandon()
            return False
        if not self._keeper.replicates and self._stream.wants_checkpoint():
            await self._thread.do(self._stream.checkpoint)
        return True

    async def _open_stream(self) -> None:
        stream = StreamId(self._entropy(ID_BYTES))
        now = self._clock.now()
        writer = await self._thread.do(StreamWriter.create, self._origin, stream, now)
        self._stream = writer
        metrics.STREAMS.inc()
        log.info("stream.opened", stream=stream.hex())
        self._meter.keep()
        self._keeper.opened(writer)
        self._bell.ring()

    def _abandon(self) -> None:
        """Never write to the current file again; it stays for being handed over."""
        if self._stream is not None:
            self._let_go(self._leave(self._stream, failed=True))
            self._stream = None

    async def _turn_over_if_due(self) -> None:
        stream = self._stream
        if stream is None:
            return
        age = self._clock.now() - stream.created_ms
        due = age >= self._limits.stream_age_ms_max or self._turn_over_wanted
        if self._draining or not (due or stream.is_full(self._limits.stream_bytes_max)):
            return
        self._turn_over_wanted = False
        try:
            await self._open_stream()
        except (sqlite.Error, OSError) as error:  # the old one still takes records
            log.warning("stream.not_opened", reason=str(error))
            return
        self._let_go(self._leave(stream))

    def _let_go(self, leaving: Awaitable[None]) -> None:
        task = asyncio.ensure_future(leaving)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, stream: StreamWriter, *, failed: bool = False) -> None:
        """Close *stream*; litestream lets go of it first, unless it failed."""
        if failed:
            self._keeper.failed(stream)
        else:
            await self._release(stream)
        await self._thread.do(stream.close)
        log.info("stream.closed", stream=stream.id.hex(), failed=failed)
        self._bell.ring()

    async def _release(self, stream: StreamWriter) -> None:
        """Have litestream let go; visitors of a machine that restarts wait for it but shortly."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS_MAX if self._draining else None):
                await self._keeper.closing(stream)


def _chars(record: Record) -> int:
    """Count the characters in all the texts that a visitor can make long."""
    texts = (
        record.host,
        record.path,
        record.target,
        record.agent,
        record.referer,
        record.source,
        record.language,
        record.range,
        record.session,
        record.ulid,
        record.arguments,
    )
    try:
        return sum(map(len, filter(None, texts)))
    except TypeError:  # not a text: it is sealed as one, cut short
        return sum(len(text) for text in texts if isinstance(text, str))
