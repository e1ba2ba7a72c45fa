"""Taking in what a source has answered: select, open, apply.

What holds after each step of `take`:
1. selected and opened: nothing has changed; dying here means asking again;
2. applied: hits, tallies and cursors are durable together.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aggregator import metrics
from aggregator.opening.batches import Outcome, epochs_of, open_batches
from aggregator.opening.keyring import Keyring
from aggregator.pulling.select import Selection, select
from aggregator.store import Store
from milepost.batch import Batch
from milepost.clock import Clock
from milepost.logs import get_log
from milepost.vocabulary import Millis, StreamId
from milepost.wire import Cursor, PullAnswer

log = get_log(__name__)

# An answer that says nothing new is written all the same this often, so that the
# database knows to a minute how long a life could speak for itself.
TOLD_MS_MAX = 60_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What was known of the announced streams, and what has been applied."""

    known: Mapping[StreamId, Cursor]
    selection: Selection


class Intake:
    """Takes answers in, whoever has asked for them."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._announced: dict[str, tuple[object, Millis]] = {}  # and when it was written

    async def take(self, source: str, answer: PullAnswer, asked_ms: Millis | None = None) -> Taken:
        """Apply what of *answer* follows the cursors, and note what *source* announced.

        What it says of lives holds for *asked_ms*, or for now.
        """
        told_ms = self._clock.now() if asked_ms is None else asked_ms
        known = await self._store.cursors(
            {head.id for head in answer.streams} | {each.header.stream for each in answer.batches}
        )
        selection = select(known, answer)
        announced = (answer.region, answer.machine, answer.lives, answer.streams, selection.faults)
        before, written_ms = self._announced.get(source, (None, Millis(0)))
        due = not 0 <= told_ms - written_ms < TOLD_MS_MAX
        if selection.fresh or due or announced != before:
            await self._apply(source, answer, selection, told_ms)
            self._announced[source] = (announced, told_ms)
        return Taken(known, selection)

    async def _apply(
        self, source: str, answer: PullAnswer, selection: Selection, told_ms: Millis
    ) -> None:
        for stream, fault in selection.faults.items():
            metrics.REFUSALS.inc()
            log.warning("stream.refused", source=source, stream=stream.hex(), reason=fault)
        outcomes = await self._open(selection.fresh)
        with metrics.APPLY_SECONDS.time():
            done = await self._store.apply(source, answer, selection, outcomes, told_ms)
        metrics.count_applied(done)

    async def _open(self, batches: tuple[Batch, ...]) -> list[Outcome]:
        if not batches:
            return []
        keys = await self._keyring.keys(epochs_of(batches))
        with metrics.OPEN_SECONDS.time():
            return await asyncio.to_thread(open_batches, batches, keys)
