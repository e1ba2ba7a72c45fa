"""The sweep: list the object store, read what nobody hands over, delete what nobody needs.

What holds after each step of `sweep`:
1. listed and judged: nothing has changed;
2. read: what a replica held is durable, replica by replica;
3. deleted: only replicas of streams without which the combined database can be
   restored, to whichever moment it can be restored to at all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from aggregator import metrics
from aggregator.pulling.puller import Puller
from aggregator.query.params import rfc3339
from aggregator.replicas.names import Name
from aggregator.replicas.objects import Contents, Listing, Objects
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.rules import (
    CLOCKS_MS,
    SILENT_MS,
    Source,
    Stored,
    Verdict,
    is_due,
    judge,
    may_go,
    still_written,
)
from aggregator.replicas.store import ReplicaStore
from aggregator.replicas.taking import CopyTaker
from milepost.clock import Clock
from milepost.errors import RejectedError, ServiceError
from milepost.health import Reasons
from milepost.logs import get_log
from milepost.vocabulary import Millis, StreamId

log = get_log(__name__)

SWEEP_SECONDS, SOON_SECONDS = 60.0, 2.0
READING_MS_MAX = 60_000  # then the store is listed anew
QUIET_MS = 10_000  # what is younger may still be growing: litestream writes once a second
REREAD_MS = 5 * 60_000
RETRY_MS_MIN, RETRY_MS_MAX, DOUBLINGS_MAX = 30_000, 3_600_000, 12
FAILURES_MAX = 8  # within an hour or so
DELETED_MAX = 100  # in one sweep
TOLD_MAX = 100


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica that could not be read."""

    reason: str
    failures: int
    not_before_ms: int
    refused: bool  # it is the replica's own fault
    alone: bool  # nobody else is known to have what it holds

    @property
    def given_up(self) -> bool:
        """Tell whether nothing will come of it any more, as far as one can know."""
        return self.refused and self.failures >= FAILURES_MAX


@dataclass(frozen=True, slots=True)
class Reading:
    """When a replica was last read, and what it was made of."""

    read_ms: Millis
    contents: Contents


class Sweeper:
    """Sweeps one object store, and remembers how it went."""

    def __init__(
        self,
        objects: Objects,
        *,
        restorer: Restorer,
        taker: CopyTaker,
        store: ReplicaStore,
        pullers: Iterable[Puller],
        clock: Clock,
    ) -> None:
        self._objects = objects
        self._restorer = restorer
        self._taker = taker
        self._store = store
        self._pullers = pullers
        self._clock = clock
        self._seen: dict[Name, Millis] = {}
        self._failed: dict[Name, Failure] = {}
        self._read: dict[Name, Reading] = {}
        self._foreign = 0
        self._began_ms = clock.now()
        self._ended_ms: Millis | None = None
        self._swept_ms = Millis(0)  # when the last sweep began that left nothing to be done soon
        self._refilled = False  # a sweep since the start has left nothing to wait for
        self.last_error: str | None = None

    async def step(self) -> float:
        """Sweep once; return how many seconds to wait before the next time."""
        began_ms = self._clock.now()
        try:
            with metrics.SWEEP_SECONDS.time():
                settled = await self.sweep()
        except (ServiceError, OSError) as error:
            self.last_error = str(error)
            metrics.SWEEP_ERRORS.inc()
            log.warning("sweep.failed", reason=str(error))
            return SWEEP_SECONDS
        self.last_error = None
        self._ended_ms = self._clock.now()
        self._refilled = self._refilled or settled
        if settled:
            self._swept_ms = began_ms
        return SWEEP_SECONDS if settled else SOON_SECONDS

    async def sweep(self) -> bool:
        """List, read and delete; tell whether that left nothing to be done soon."""
        listing = await self._objects.listing()
        began = self._clock.now()  # a machine that is asked from now on knows what was listed
        self._note(listing, began)
        sources = await self._sources()  # before the streams: what they told is stored by then
        stored = await self._store.stored([name.stream for name in listing.names])
        verdicts = {
            name: judge(
                name,
                self._seen[name],
                stored.get(name.stream),
                sources,
                given_up=name in self._failed and self._failed[name].given_up,
            )
            for name in listing.names
        }
        settled = Verdict.WAIT not in verdicts.values()
        for name in self._due(verdicts, began):
            if self._clock.now() - began > READING_MS_MAX:
                return False
            sweeps = verdicts[name] is Verdict.SWEEP
            settled &= await self._try(name, stored.get(name.stream), sweeps=sweeps)
        await self._retire(verdicts, stored)
        return settled

    def notes(self) -> Reasons:
        """Return what a person may want to know about replicas."""
        if self.last_error is not None:
            return {"replicas": f"the object store is not swept: {self.last_error}"}
        if not self._refilled:
            return {"replicas": "what only the object store holds may not be counted yet"}
        if self._failed:
            name, failure = next(iter(sorted(self._failed.items())))
            count = len(self._failed)
            return {"replicas": f"{count} cannot be read, such as {name}: {failure.reason}"}
        return {}

    def lacks(self, since: Millis) -> list[str]:
        """Say why the store may hold what nobody knows, if it was not swept *since*."""
        if self._swept_ms < since:
            why = f": {self.last_error}" if self.last_error is not None else ""
            return [f"the object store was not swept since the epoch settled{why}"]
        alone = sorted(name for name, failure in self._failed.items() if failure.alone)
        if alone:
            return [f"{len(alone)} replicas of lost streams cannot be read, such as {alone[0]}"]
        return []

    async def told(self) -> dict[str, Any]:
        """Return how the sweep does, and what it has brought last."""
        failed = sorted(self._failed.items())[:TOLD_MAX]
        told: dict[str, Any] = {
            "listed": len(self._seen),
            "foreign": self._foreign,
            "failed": [
                {"replica": str(name), "reason": each.reason, "failures": each.failures}
                for name, each in failed
            ],
            "swept": [
                {
                    "stream": each.stream.hex(),
                    "source": each.source,
                    "region": each.region,
                    "seq": each.seq,
                    "last_seq": each.last_seq,
                    "swept": rfc3339(each.swept_ms),
                }
                for each in await self._store.swept(TOLD_MAX)
            ],
        }
        if self._ended_ms is not None:
            told["last_sweep"] = rfc3339(self._ended_ms)
        if self.last_error is not None:
            told["last_error"] = self.last_error
        return told

    def _note(self, listing: Listing, now: Millis) -> None:
        self._seen = {name: self._seen.get(name, now) for name in listing.names}
        self._failed = {name: each for name, each in self._failed.items() if name in self._seen}
        self._read = {name: each for name, each in self._read.items() if name in self._seen}
        if listing.foreign != self._foreign:
            log.warning("replicas.foreign", count=listing.foreign)
        if listing.cut:
            log.error("replicas.too_many", looked_at=len(listing.names))
        self._foreign = listing.foreign
        metrics.REPLICAS.set(len(listing.names))
        metrics.REPLICAS_FOREIGN.set(listing.foreign)
        metrics.REPLICAS_FAILED.set(len(self._failed))

    async def _sources(self) -> list[Source]:
        """Return every machine that is or was pulled from: what is in memory is newer."""
        known = {each.url: each for each in await self._store.sources()}
        now = self._clock.now()
        sources = []
        for puller in self._pullers:
            found = known.pop(puller.url, None)
            sources.append(
                Source(
                    url=puller.url,
                    region=found.region if found else None,
                    machine=found.machine if found else None,
                    asked_ms=puller.last_asked,
                    silent_ms=round(puller.silent_seconds() * 1000),
                    expected=found is None or not found.gone,
                    unreadable=frozenset(puller.unreadable),
                )
            )
        # One that nobody pulls any more has gone, unless it is only yet to be discovered.
        silent_ms = now - self._began_ms
        return sources + [
            Source(
                url=each.url,
                region=each.region,
                machine=each.machine,
                asked_ms=None,
                silent_ms=silent_ms,
                expected=not each.gone and silent_ms < SILENT_MS,
            )
            for each in known.values()
        ]

    def _due(self, verdicts: Mapping[Name, Verdict], now: Millis) -> list[Name]:
        """Return what is to be read now, what has failed least first."""
        due = []
        for name, verdict in verdicts.items():
            if verdict in {Verdict.LEAVE, Verdict.WAIT}:
                self._failed.pop(name, None)
            if verdict not in {Verdict.READ, Verdict.SWEEP}:
                continue
            failure, reading = self._failed.get(name), self._read.get(name)
            early = failure is not None and now < failure.not_before_ms
            again = verdict is Verdict.READ and reading is not None
            if again and reading is not None and now - reading.read_ms < REREAD_MS:
                early = True
            if not early:
                due.append((failure.failures if failure else 0, name))
        return [name for _, name in sorted(due)]

    async def _try(self, name: Name, stored: Stored | None, *, sweeps: bool) -> bool:
        """Read one replica, whatever it is like; tell whether that need not be done again soon."""
        try:
            settled = await self._take(name, stored, sweeps=sweeps)
        except (ServiceError, OSError) as error:
            failures = self._failed[name].failures + 1 if name in self._failed else 1
            pause = min(RETRY_MS_MAX, RETRY_MS_MIN << min(failures - 1, DOUBLINGS_MAX))
            self._failed[name] = Failure(
                str(error),
                failures,
                self._clock.now() + pause,
                refused=isinstance(error, RejectedError),
                alone=sweeps or stored is None,
            )
            log.warning("replica.not_read", replica=str(name), reason=str(error), failures=failures)
            settled = True
        else:
            self._failed.pop(name, None)
        metrics.REPLICAS_FAILED.set(len(self._failed))
        return settled

    async def _take(self, name: Name, stored: Stored | None, *, sweeps: bool) -> bool:
        now = self._clock.now()
        contents = await self._objects.contents(name)
        if not contents.files:
            msg = "it holds no file"
            raise RejectedError(msg)
        if sweeps and -CLOCKS_MS < now - contents.newest_ms < QUIET_MS:
            if now - self._seen[name] < SILENT_MS:
                return False
            sweeps = False  # somebody writes it, and nobody hands it over
        reading = self._read.get(name)
        if not sweeps and reading is not None:
            if now - reading.read_ms < REREAD_MS:
                return True
            if reading.contents == contents:  # it would be read to the same end
                self._read[name] = Reading(now, contents)
                return True
        async with self._restorer.restored(name, contents.size_bytes) as path:
            copy = await self._taker.take(name, path)
        swept = await self._store.finish(copy.head, stored, now if sweeps else None)
        self._read[name] = Reading(now, contents)
        metrics.REPLICAS_READ.labels("swept" if swept else "read").inc()
        log.info("replica.read", replica=str(name), last_seq=copy.head.last_seq, swept=swept)
        return True

    async def _retire(
        self, verdicts: Mapping[Name, Verdict], stored: Mapping[StreamId, Stored]
    ) -> None:
        """Note what has retired, and delete what has been so for long enough."""
        retired = [name for name, verdict in verdicts.items() if verdict is Verdict.RETIRED]
        now = self._clock.now()
        await self._store.retire(
            (name.stream for name in retired if stored[name.stream].retired_ms is None), now
        )
        due = [
            (name, retired_ms, stored[name.stream].swept_ms)
            for name in retired
            if (retired_ms := stored[name.stream].retired_ms) is not None
            and is_due(retired_ms, now)
        ]
        if due and self._may_delete(now):
            await self._delete(sorted(due, key=itemgetter(0))[:DELETED_MAX])

    def _may_delete(self, now: Millis) -> bool:
        """Tell whether this is the aggregator that counts, as far as the edges have said.

        A newer one may be on a database from an earlier moment, and need what is settled here.
        """
        heard = now - self._began_ms >= SILENT_MS
        return heard and not any(puller.superseded for puller in self._pullers)

    async def _delete(self, due: Iterable[tuple[Name, Millis, Millis | None]]) -> None:
        oldest_base_ms = await self._objects.oldest_base()
        for name, retired_ms, swept_ms in due:
            newest_ms = (await self._objects.contents(name)).newest_ms
            if may_go(retired_ms, swept_ms, newest_ms, oldest_base_ms):
                if await self._objects.delete(name):
                    metrics.REPLICAS_DELETED.inc()
                    log.info("replica.deleted", replica=str(name), retired_ms=retired_ms)
                else:
                    log.warning("replica.not_deleted", replica=str(name))
            elif still_written(retired_ms, swept_ms, newest_ms):
                log.warning("replica.still_written", replica=str(name))
                await self._store.reopen(name.stream)
