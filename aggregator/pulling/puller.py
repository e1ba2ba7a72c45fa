"""Pulling one source: ask, take in, and acknowledge what is safe.

What holds after each step of `pull`:
1. asked: nothing has changed; the source keeps everything not acknowledged;
2. taken in: hits, tallies and cursors are durable together;
3. asked again: the source hears how far it may forget.
"""

from aggregator import metrics
from aggregator.pulling.intake import Intake
from aggregator.pulling.lag import Progress, progress, seconds_since
from aggregator.pulling.pace import LIMIT_BYTES_MIN, limit_bytes, pause_seconds
from aggregator.pulling.safe import Safe
from aggregator.store import Store
from milepost.client import Client
from milepost.clock import Clock, Entropy
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.vocabulary import Millis, StreamId
from milepost.wire import PullAnswer, PullRequest, parse_answer

log = get_log(__name__)

READER = "aggregator"  # one name for whatever database is behind it: only the newest may forget
WAIT_MS = 1_000
# An answer that brings nothing is late; one that brings nothing at once would have us spin.
EARLY_MS = WAIT_MS // 2


class Puller:
    """Pulls one source, and remembers how it went."""

    def __init__(
        self,
        client: Client,
        *,
        store: Store,
        intake: Intake,
        safe: Safe,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.url = client.base_url
        self.last_success: Millis | None = None
        self.last_asked: Millis | None = None  # when the last answer that is applied was asked for
        self.last_error: str | None = "has not answered since the start"
        self.unreadable: tuple[str, ...] = ()
        self.progress: dict[StreamId, Progress] = {}
        self._client = client
        self._store = store
        self._intake = intake
        self._safe = safe
        self._clock = clock
        self._entropy = entropy
        self._failures = 0
        self._limit_bytes = LIMIT_BYTES_MIN
        self._streams: frozenset[StreamId] | None = None  # None: ask the database
        self._started = clock.now()
        metrics.SUCCESS_AGE.labels(self.url).set_function(self.silent_seconds)

    def silent_seconds(self) -> float:
        """Return how long ago the source last answered, or how long it has not since the start."""
        return seconds_since(self.last_success or self._started, self._clock.now())

    async def step(self) -> float:
        """Pull once; return how many seconds to wait before the next time."""
        try:
            productive = await self.pull()
        except ServiceError as error:
            self._failures += 1
            self.last_error = str(error)
            metrics.PULL_ERRORS.labels(self.url).inc()
            log.warning(
                "pull.failed",
                source=self.url,
                code=error.code,
                reason=str(error),
                failures=self._failures,
            )
        else:
            self._failures = 0 if productive else self._failures + 1
        dice = self._entropy(1)[0] / 256
        return pause_seconds(self._failures, dice)

    async def pull(self) -> bool:
        """Take one answer in; tell whether it is worth asking again at once."""
        asked_ms = self._clock.now()
        answer = await self._ask()
        self._streams = frozenset(head.id for head in answer.streams)
        begun_ms = self._clock.now()
        taken = await self._intake.take(self.url, answer)
        self.progress = progress(self.progress, taken.known, answer, taken.selection, asked_ms)
        now = self._clock.now()
        self._limit_bytes = limit_bytes(
            self._limit_bytes, seconds_since(begun_ms, now), more=answer.more
        )
        self.last_asked, self.last_success, self.last_error = asked_ms, now, None
        self.unreadable = answer.unreadable
        return bool(taken.selection.fresh) or now - asked_ms >= EARLY_MS

    async def _ask(self) -> PullAnswer:
        if self._streams is None:
            cursors = await self._store.cursors_of(self.url)
        else:  # whoever else may have brought the same streams meanwhile
            cursors = await self._store.cursors(self._streams)
        request = PullRequest(
            reader=READER,
            generation=self._store.generation,
            cursors=cursors,
            acknowledged=self._safe.of(cursors),
            ended=self._safe.ended(await self._store.ended_of(self.url)),
            limit_bytes=self._limit_bytes,
            wait_ms=WAIT_MS,
        )
        told = await self._client.post("/v1/pull", request.to_json(), wait_seconds=WAIT_MS / 1000)
        return parse_answer(told)
