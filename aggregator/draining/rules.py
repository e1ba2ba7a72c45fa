"""When an epoch is drained: nothing that is known, and nobody who has yet to answer, needs its key.

It errs on the careful side.  A stream counts, whatever its batches are sealed to,
until all that was committed before the epoch settled is applied.  A source that
has not answered since may hold anything, also one that is gone: it holds the key
until its streams were read from their replicas, or somebody writes it off.  So may
one that nobody has looked for since, and a replica that nobody has read.

Rules of this file:
- Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aggregator.draining.marks import Passage
from aggregator.store import Count
from milepost.vocabulary import Epoch, Millis, StreamId

STREAMS_TOLD_MAX = 100


@dataclass(frozen=True, slots=True)
class Behind:
    """A stream of which something that was announced is not applied."""

    stream: StreamId
    source: str
    records: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What one source has let us know."""

    url: str
    asked_ms: Millis | None  # when its last answer was asked for; None: there was none
    unreadable: tuple[str, ...] = ()
    gone: bool = False
    swept: bool = False  # gone, and what it had was read from its replicas

    def reason(self, settled_ms: Millis) -> str:
        """Say why the source holds what settled at that moment, or nothing."""
        silent = self.asked_ms is None or self.asked_ms < settled_ms
        if self.gone and silent and not self.swept:
            return f"{self.url} is gone and has not answered since the epoch settled"
        if silent and not self.gone:
            return f"{self.url} has not answered since the epoch settled"
        if self.unreadable:
            return f"{self.url} has {len(self.unreadable)} files it cannot read"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """All that is known about what needs one epoch's key."""

    epoch: Epoch
    settled_ms: Millis  # from when on nobody seals to the epoch any more
    waiting: Count  # sealed to it, and waiting for the key
    set_aside: int  # records sealed to it that could not be read: they hold up nothing
    behind: Sequence[Behind]  # of the streams that were begun before it settled
    sources: Sequence[Told]
    unknown: Sequence[str] = ()  # why there may be more than is known of

    @property
    def clicks(self) -> int:
        """Return how many records are known to need the key, or may do."""
        return self.waiting.records + sum(each.records for each in self.behind)

    def reasons(self) -> list[str]:
        """Say what keeps the epoch from being drained; nothing does when it is."""
        said = []
        if self.waiting.batches:
            said.append(f"{self.waiting.batches} batches wait sealed for the key")
        if self.behind:
            said.append(
                f"{len(self.behind)} streams are not pulled to where they were when the epoch "
                "settled, or refused"
            )
        said += self.unknown
        return said + [text for each in self.sources if (text := each.reason(self.settled_ms))]

    def to_json(self, now: Millis) -> dict[str, Any]:
        """Return what the key server is told."""
        reasons = self.reasons()
        return {
            "epoch": self.epoch,
            "now_ms": now,
            "drained": not reasons,
            "clicks": self.clicks,
            "set_aside": self.set_aside,
            "reasons": reasons,
            "streams": [_told(each) for each in self.behind[:STREAMS_TOLD_MAX]],
        }


def complete_since(pulled: Iterable[Mapping[StreamId, Passage]]) -> dict[StreamId, Millis]:
    """Return up to when each stream is complete, as every source says that has it."""
    found: dict[StreamId, Millis] = {}
    for streams in pulled:
        for stream, passage in streams.items():
            found[stream] = min(found.get(stream, passage.complete_ms), passage.complete_ms)
    return found


def still_behind(
    behind: Iterable[Behind], complete: Mapping[StreamId, Millis], settled_ms: Millis
) -> list[Behind]:
    """Return those of *behind* that may lack something from before that moment."""
    return [
        each
        for each in behind
        if each.fault or each.stream not in complete or complete[each.stream] < settled_ms
    ]


def _told(behind: Behind) -> dict[str, Any]:
    told = {
        "stream": behind.stream.hex(),
        "source": behind.source,
        "records": behind.records,
    }
    return {**told, "fault": behind.fault} if behind.fault else told
