"""Asking the key server for the visitor hashes of those who came while there was no salt.

What holds after each step of `ask`:
1. asked: nothing has changed; dying here means asking again;
2. settled: hashes are in their hits, and their boxes are gone, in one transaction.

The boxes come by epoch, the oldest first, since its salt dies first; round and
round.  A call that fails is made again for half as many, and a single box that has
a call of its own fail is left alone for a while: none can hold up the others for
long, and an outage costs the oldest no more than that.
"""

from collections import Counter

from aggregator import metrics
from aggregator.hashes.judging import GivenUp, Kept, Resting, Settled, fitting, judge, too_large
from aggregator.hashes.store import HASHED, HashStore, Turn
from aggregator.opening.keyring import Keyring
from aggregator.pulling.pace import pause_seconds
from milepost.client import Client
from milepost.clock import Clock, Entropy
from milepost.errors import ServiceError
from milepost.hashing import ITEMS_MAX, Fault, Hashes, Item, Unanswered, parse_hashes
from milepost.logs import get_log
from milepost.vocabulary import BatchId, Epoch

log = get_log(__name__)

EVERY_SECONDS = 1.0
MORE_SECONDS = 0.1  # between calls; the key server would not take more than ten a second
BOXES_MAX = ITEMS_MAX  # in one call, as far as they fit; most hold an address or two
LOOKED_AT_MAX = 1_000
BEGINNING = Turn(Epoch(0), BatchId(b""))


class HashAsker:
    """Asks again and again, for as long as there are boxes."""

    def __init__(
        self, client: Client, store: HashStore, keyring: Keyring, clock: Clock, entropy: Entropy
    ) -> None:
        self._client = client
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy
        self._resting = Resting()
        self._after = BEGINNING
        self._boxes = BOXES_MAX
        self._failures = 0
        self._in_vain = False  # the last call settled nothing

    async def step(self) -> float:
        """Ask for some boxes; return how many seconds to wait."""
        if self._keyring.missing:  # what another key server says would cost boxes
            return EVERY_SECONDS
        try:
            more = await self.ask()
            metrics.ADDRESS_BOXES.set(await self._store.count())
        except ServiceError as error:
            metrics.HASH_ERRORS.inc()
            log.warning("hashes.failed", code=error.code, reason=str(error))
            return self._pause()
        if self._in_vain:
            return self._pause()
        self._failures = 0
        return MORE_SECONDS if more else EVERY_SECONDS

    def _pause(self) -> float:
        self._failures += 1
        return max(EVERY_SECONDS, pause_seconds(self._failures, self._entropy(1)[0] / 256))

    async def ask(self) -> bool:
        """Ask for the next boxes and settle them; tell whether there are more in this round."""
        now = self._clock.now()
        usable = await self._store.usable(self._after, LOOKED_AT_MAX)
        ready = [turn for turn in usable if not self._resting.rests(turn.batch, now)]
        items = await self._store.boxes([turn.batch for turn in ready[: self._boxes]])
        items = items[: fitting(items)]
        self._in_vain = False
        try:
            answers = await self._answers(items)
        except ServiceError:
            if self._boxes == 1:
                self._resting.lay(ready[0].batch, now)
            self._boxes = max(1, self._boxes // 2)
            raise
        await self._settle(items, answers)
        self._boxes = min(BOXES_MAX, 2 * self._boxes)
        if len(items) < len(ready):
            self._after = ready[len(items) - 1]
            return True
        self._after = usable[-1] if len(usable) == LOOKED_AT_MAX else BEGINNING
        return self._after != BEGINNING

    async def _answers(self, items: list[Item]) -> list[Hashes | Unanswered]:
        asked = [each for each in items if not too_large(each)]
        body = {"items": [each.to_json() for each in asked]}
        told = parse_hashes(await self._client.post("/v1/hash", body), asked) if asked else []
        answers = iter(told)
        return [
            Unanswered(each.header.batch, Fault.REFUSED, "too large")
            if too_large(each)
            else next(answers)
            for each in items
        ]

    async def _settle(self, items: list[Item], answers: list[Hashes | Unanswered]) -> None:
        verdicts = judge(zip(items, answers, strict=True), self._keyring.disowned)
        settled: list[Settled] = [each for each in verdicts if not isinstance(each, Kept)]
        if settled:
            done = await self._store.settle(settled)
            self._resting.forget(each.batch for each in settled)
            _count(done)
            given_up = sum(isinstance(each, GivenUp) for each in settled)
            log.info("hashes.settled", boxes=len(settled), given_up=given_up, **done)
        kept = [each for each in verdicts if isinstance(each, Kept)]
        self._in_vain = bool(kept) and not settled
        for each in kept:
            self._resting.lay(each.batch, self._clock.now())
        if kept:
            faults = Counter(str(each.fault) for each in kept)
            log.warning("hashes.kept", reason=kept[0].text, **faults)


def _count(done: Counter[str]) -> None:
    for name, hits in done.items():
        if name == HASHED:
            metrics.HASHED.inc(hits)
        else:
            metrics.WITHOUT_HASH.labels(name).inc(hits)
