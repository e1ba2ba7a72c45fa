"""Pulling one source: ask, take in, and acknowledge what is safe.

What holds after each step of `pull`:
1. asked: nothing has changed; the source keeps everything not acknowledged;
2. taken in: hits, tallies and cursors are durable together;
3. asked again: the source hears how far it may forget.
"""

from aggregator import metrics
from aggregator.draining.marks import Passage, passages
from aggregator.fencing.fence import Fence
from aggregator.pulling.intake import Intake, Taken
from aggregator.pulling.lag import Progress, progress, seconds_since
from aggregator.pulling.pace import LIMIT_BYTES_MIN, limit_bytes, pause_seconds
from aggregator.pulling.safe import Safe
from aggregator.pulling.standing import beginning
from aggregator.store import Store
from milepost.client import Client
from milepost.clock import Clock, Entropy
from milepost.errors import ConfigError, ConflictError, InvariantError, ServiceError
from milepost.logs import get_log
from milepost.stream.files import SUFFIX
from milepost.vocabulary import Millis, StreamId
from milepost.wire import PullAnswer, PullRequest, parse_answer

log = get_log(__name__)

READER = "aggregator"  # one name for whatever database is behind it: only the newest may forget
WAIT_MS = 1_000
# An answer that brings nothing is late; one that brings nothing at once would have us spin.
EARLY_MS = WAIT_MS // 2
# An answer holds about 4 MB of boxes, a third more as it travels, and what is told of streams.
# What is larger is read no further, so that no source keeps the others waiting while it is parsed.
ANSWER_BYTES_MAX = 32 << 20


class Puller:
    """Pulls one source, and remembers how it went."""

    def __init__(
        self,
        client: Client,
        *,
        store: Store,
        fence: Fence,
        intake: Intake,
        safe: Safe,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.url = client.base_url
        self.last_success: Millis | None = None
        self.last_asked: Millis | None = None  # when the last answer that is applied was asked for
        self.whole_ms: Millis | None = None  # the same, of one that left no stream unread
        self.last_error: str | None = "has not answered since the start"
        self.superseded = False  # a newer aggregator pulls from here, and this one may not
        self.unreadable: tuple[str, ...] = ()
        self.progress: dict[StreamId, Progress] = {}
        self.passages: dict[StreamId, Passage] = {}
        self._client = client
        self._store = store
        self._fence = fence
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
            self.superseded = isinstance(error, ConflictError)
            self._failed(error.code, str(error))
        except (InvariantError, ConfigError):  # our own trouble, or another process has taken over
            raise
        except Exception as error:  # noqa: BLE001 - what one source makes us stumble over holds up no other
            self._failed("unexpected", type(error).__name__)
        else:
            self._failures = 0 if productive else self._failures + 1
        dice = self._entropy(1)[0] / 256
        return pause_seconds(self._failures, dice)

    def _failed(self, code: str, reason: str) -> None:
        self._failures += 1
        self.last_error = reason
        metrics.PULL_ERRORS.labels(self.url).inc()
        log.warning(
            "pull.failed", source=self.url, code=code, reason=reason, failures=self._failures
        )

    async def pull(self) -> bool:
        """Take one answer in; tell whether it is worth asking again at once."""
        asked_ms, generation = self._clock.now(), self._fence.generation
        answer = await self._ask()
        self._streams = frozenset(head.id for head in answer.streams)
        begun_ms = self._clock.now()
        taken = await self._intake.take(self.url, answer, asked_ms)
        self.progress = progress(self.progress, taken.known, answer, taken.selection, asked_ms)
        self.passages = await self._pass(answer, taken, asked_ms)
        if taken.forgotten:
            await self._fence.rise(generation, f"{self.url} was told of more than is known here")
        now = self._clock.now()
        self._limit_bytes = limit_bytes(
            self._limit_bytes, seconds_since(begun_ms, now), more=answer.more
        )
        self.last_asked, self.last_success, self.last_error = asked_ms, now, None
        self.superseded = False
        self.unreadable = answer.unreadable
        if not any(name.endswith(SUFFIX) for name in answer.unreadable):
            self.whole_ms = asked_ms
        return taken.selection.moves or now - asked_ms >= EARLY_MS

    async def _pass(
        self, answer: PullAnswer, taken: Taken, asked_ms: Millis
    ) -> dict[StreamId, Passage]:
        """Return how far the announced streams have come past their marks."""
        new = [head.id for head in answer.streams if head.id not in self.passages]
        promised = await self._store.promised(new) if new else {}
        anew = {stream: beginning(stream) for stream in taken.selection.begun}
        cursors = {**taken.known, **anew, **taken.selection.after}
        return passages(self.passages, promised, cursors, answer.streams, asked_ms)

    async def _ask(self) -> PullAnswer:
        if self._streams is None:
            standings = await self._store.standings_of(self.url)
        else:  # whoever else may have brought the same streams meanwhile
            standings = await self._store.standings(self._streams)
        request = PullRequest(
            reader=READER,
            generation=self._fence.generation,
            cursors={stream: each.place(self.url) for stream, each in standings.items()},
            acknowledged=self._safe.of(self.url, standings),
            ended=self._safe.ended(await self._store.ended_of(self.url)),
            limit_bytes=self._limit_bytes,
            wait_ms=WAIT_MS,
        )
        told = await self._client.post(
            "/v1/pull",
            request.to_json(),
            wait_seconds=WAIT_MS / 1000,
            bytes_max=ANSWER_BYTES_MAX,
        )
        return parse_answer(told)
