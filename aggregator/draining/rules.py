"""When an epoch is drained: nothing that is known, and nobody who has yet to answer, needs its key.

It errs on the careful side: a stream counts whole until all that was ever
announced of it is applied, whatever its batches are sealed to, and a source that
has not answered since may hold anything.

Rules of this file:
- Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    asked_ms: Millis | None  # when its last answer was asked for; None: none since the start
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """All that is known about what needs one epoch's key."""

    epoch: Epoch
    settled_ms: Millis  # from when on nobody seals to the epoch any more
    waiting: Count  # sealed to it, and waiting for the key
    set_aside: int  # records sealed to it that could not be read: they hold up nothing
    behind: Sequence[Behind]  # of the streams that were begun before it settled
    sources: Sequence[Told]

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
                f"{len(self.behind)} streams are not pulled to their announced end, or refused"
            )
        for source in self.sources:
            if source.asked_ms is None or source.asked_ms < self.settled_ms:
                said.append(f"{source.url} has not answered since the epoch settled")
            elif source.unreadable:
                said.append(f"{source.url} has {len(source.unreadable)} files it cannot read")
        return said

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


def _told(behind: Behind) -> dict[str, Any]:
    told = {
        "stream": behind.stream.hex(),
        "source": behind.source,
        "records": behind.records,
    }
    return {**told, "fault": behind.fault} if behind.fault else told
