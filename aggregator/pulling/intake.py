"""Taking in what a source has answered: select, open, apply.

What holds after each step of `take`:
1. selected and opened: nothing has changed; dying here means asking again;
2. applied: hits, tallies and cursors are durable together.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from aggregator import metrics
from aggregator.opening.batches import Outcome, epochs_of, open_batches
from aggregator.opening.keyring import Keyring
from aggregator.pulling.select import Selection, select
from aggregator.pulling.standing import is_forgotten, judge_forks
from aggregator.store import Store
from milepost.batch import Batch
from milepost.clock import Clock
from milepost.logs import get_log
from milepost.stream.files import SUFFIX
from milepost.vocabulary import Millis, StreamId
from milepost.wire import Cursor, PullAnswer

log = get_log(__name__)

# An answer that says nothing new is written all the same this often, so that the
# database knows to a minute how long a life could speak for itself.
TOLD_MS_MAX = 60_000


UNREADABLE = "its file cannot be read on from here"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was known of the announced streams, and what has been applied."""

    known: Mapping[StreamId, Cursor]
    selection: Selection
    forgotten: bool  # the source knows of more that was safe


class Intake:
    """Takes answers in, whoever has asked for them."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._announced: dict[str, tuple[object, Millis]] = {}  # and when it was written
        self._faults: dict[str, Mapping[StreamId, str]] = {}
        self._one_opens = asyncio.Lock()

    async def take(self, source: str, answer: PullAnswer, asked_ms: Millis | None = None) -> Taken:
        """Apply what of *answer* follows the cursors, and note what *source* announced.

        What it says of lives holds for *asked_ms*, or for now.
        """
        told_ms = self._clock.now() if asked_ms is None else asked_ms
        known = await self._store.standings(
            {head.id for head in answer.streams} | {each.header.stream for each in answer.batches}
        )
        places = {stream: each.place(source) for stream, each in known.items()}
        holes = {stream: each.holes for stream, each in known.items() if each.holes}
        selection = select(places, answer, holes)
        begun, waiting = judge_forks(known, source, answer, self._clock.now())
        faults = {**_unreadable(answer), **selection.faults, **waiting}
        selection = replace(selection, faults=faults, begun=begun)
        announced = (answer.region, answer.machine, answer.lives, answer.streams, faults)
        news = await self._news_of_the_safe(answer, selection)
        before, written_ms = self._announced.get(source, (None, Millis(0)))
        due = not 0 <= told_ms - written_ms < TOLD_MS_MAX
        if selection.moves or due or announced != before:
            await self._apply(source, answer, selection, told_ms)
            self._announced[source] = (announced, told_ms)
        return Taken(places, selection, is_forgotten(known, answer, selection.after, news))

    async def take_copy(self, answer: PullAnswer, at: Cursor) -> Selection:
        """Apply what a copy of one stream holds behind *at*, a place in the copy's own history.

        What was applied before, perhaps out of another history, is not even opened.
        """
        (head,) = answer.streams
        selection = select({head.id: at}, answer)
        known = await self._store.applied(each.header.batch for each in selection.fresh)
        new = tuple(each for each in selection.fresh if each.header.batch not in known)
        outcomes = await self._open(new)
        with metrics.APPLY_SECONDS.time():
            done = await self._store.apply_copy(answer, selection, outcomes, self._clock.now())
        done["repeated"] += len(selection.fresh) - len(new)
        metrics.count_applied(done)
        return selection

    async def _news_of_the_safe(
        self, answer: PullAnswer, selection: Selection
    ) -> frozenset[StreamId]:
        """Return the streams acknowledged to their end of which something is new here."""
        safe = {head.id for head in answer.streams if head.acknowledged}
        told = {
            batch.header.batch: batch.header.stream
            for batch in selection.fresh
            if batch.header.stream in safe
        }
        known = await self._store.applied(told) if told else frozenset()
        return frozenset(stream for batch, stream in told.items() if batch not in known)

    async def _apply(
        self, source: str, answer: PullAnswer, selection: Selection, told_ms: Millis
    ) -> None:
        self._tell(source, selection)
        outcomes = await self._open(selection.fresh)
        with metrics.APPLY_SECONDS.time():
            done = await self._store.apply(source, answer, selection, outcomes, told_ms)
        metrics.count_applied(done)
        metrics.FORKS.inc(len(selection.begun))

    def _tell(self, source: str, selection: Selection) -> None:
        """Log what is wrong; a fault that goes on is told once."""
        before = self._faults.get(source, {})
        for stream, fault in selection.faults.items():
            metrics.REFUSALS.inc()
            if before.get(stream) != fault:
                log.warning("stream.refused", source=source, stream=stream.hex(), reason=fault)
        self._faults[source] = selection.faults
        for stream in selection.begun:
            log.warning("stream.forked", source=source, stream=stream.hex())
        for each in selection.damaged:
            header = each.batch.header
            log.error(
                "batch.damaged",
                source=source,
                stream=header.stream.hex(),
                seq=header.seq,
                reason=each.reason,
            )

    async def _open(self, batches: tuple[Batch, ...]) -> list[Outcome]:
        if not batches:
            return []
        keys = await self._keyring.keys(epochs_of(batches))
        # In turn: opening is work for one core, and many threads at it would leave the loop,
        # which answers every question, hardly any of Python's time.
        async with self._one_opens:
            with metrics.OPEN_SECONDS.time():
                return await asyncio.to_thread(open_batches, batches, keys)


def _unreadable(answer: PullAnswer) -> dict[StreamId, str]:
    """Return the announced streams whose file *answer* names as unreadable."""
    named = set(answer.unreadable)
    return {head.id: UNREADABLE for head in answer.streams if f"{head.id.hex()}{SUFFIX}" in named}
