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
from milepost.vocabulary import StreamId
from milepost.wire import Cursor, PullAnswer

log = get_log(__name__)


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
        self._announced: dict[str, object] = {}
        self._one_opens = asyncio.Lock()

    async def take(self, source: str, answer: PullAnswer) -> Taken:
        """Apply what of *answer* follows the cursors, and note what *source* announced."""
        known = await self._store.cursors(
            {head.id for head in answer.streams} | {each.header.stream for each in answer.batches}
        )
        selection = select(known, answer)
        announced = (answer.region, answer.machine, answer.lives, answer.streams, selection.faults)
        if selection.fresh or announced != self._announced.get(source):
            await self._apply(source, answer, selection)
            self._announced[source] = announced
        return Taken(known, selection)

    async def _apply(self, source: str, answer: PullAnswer, selection: Selection) -> None:
        for stream, fault in selection.faults.items():
            metrics.REFUSALS.inc()
            log.warning("stream.refused", source=source, stream=stream.hex(), reason=fault)
        outcomes = await self._open(selection.fresh)
        with metrics.APPLY_SECONDS.time():
            done = await self._store.apply(source, answer, selection, outcomes, self._clock.now())
        metrics.count_applied(done)

    async def _open(self, batches: tuple[Batch, ...]) -> list[Outcome]:
        if not batches:
            return []
        keys = await self._keyring.keys(epochs_of(batches))
        # In turn: opening is work for one core, and many threads at it would leave the loop,
        # which answers every question, hardly any of Python's time.
        async with self._one_opens:
            with metrics.OPEN_SECONDS.time():
                return await asyncio.to_thread(open_batches, batches, keys)
