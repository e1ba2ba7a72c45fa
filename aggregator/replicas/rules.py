"""Which replicas are read, which streams have retired, and which replicas may go.

All is decided from names and from what sources have told.  A machine that is
asked and answers is believed about its streams; of one that has only fallen
silent the replicas are read, and nothing is settled.

Rules of this file:
- Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from aggregator.replicas.names import Name
from milepost.litestream import SNAPSHOT_INTERVAL_HOURS, SNAPSHOT_RETENTION_HOURS
from milepost.stream.files import SUFFIX
from milepost.vocabulary import Millis, Seq

HOUR_MS = 3_600_000
SILENT_MS = 10 * 60_000
# A snapshot lives through its retention, and until the next one has been made after that.
RESTORABLE_MS = (SNAPSHOT_RETENTION_HOURS + SNAPSHOT_INTERVAL_HOURS) * HOUR_MS
MARGIN_MS = SNAPSHOT_INTERVAL_HOURS * HOUR_MS
CLOCKS_MS = HOUR_MS  # as far as the store's clock and ours may differ


class Verdict(Enum):
    """What is to be done about a replica."""

    LEAVE = auto()  # its machine hands it over, or all of it is applied
    WAIT = auto()  # it is not known yet whether a machine has it
    READ = auto()  # apply what is there; its machine may come back with more
    SWEEP = auto()  # apply what is there, and that was all: nobody else has it
    RETIRED = auto()  # no machine has it any more, and it was read to its end, or needs not be


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A machine that is or was pulled from."""

    url: str
    region: str | None  # None: it has never answered, and may be any
    machine: str | None
    asked_ms: Millis | None  # when its last answer was asked for; None: none since the start
    silent_ms: int
    expected: bool  # False: it has gone
    unreadable: frozenset[str] = frozenset()

    def answers(self, since: Millis) -> bool:
        """Tell whether it has told all that it has, later than *since*."""
        asked = self.expected and self.asked_ms is not None and self.asked_ms > since
        return asked and self.silent_ms < SILENT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is stored of a stream."""

    source: str
    announced: bool = True  # False: it is known from its replica alone, and nobody said it closed
    present: bool
    open: bool
    seq: Seq
    last_seq: Seq
    fault: str | None = None
    swept_ms: Millis | None = None
    retired_ms: Millis | None = None
    abandoned_ms: Millis | None = None
    damaged: bool = False  # a batch of it is set aside that the replica may hold whole
    # Its file came back shorter or otherwise than it was, or the meter of its life did: the
    # replica may hold what the file had once, and nobody has told of.
    rolled_back: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether nothing of it can be missing, or what is missing was written off by hand."""
        closed = self.announced and not self.open
        whole = closed and not self.wanting and self.seq >= self.last_seq
        return whole or self.abandoned_ms is not None

    @property
    def wanting(self) -> bool:
        """Tell whether its file may lack what its replica has, though its machine answers."""
        return self.fault is not None or self.damaged or self.rolled_back


def judge(
    name: Name,
    seen_ms: Millis,
    stored: Stored | None,
    sources: Sequence[Source],
    *,
    given_up: bool = False,
) -> Verdict:
    """Decide about the replica *name*, first seen in the store at *seen_ms*.

    A source that was asked after that would have told of the stream if it had it:
    a stream is a file before it is a replica.

    What is applied to the end of its file is read all the same before it may go: the file may
    have been rolled back before anybody was told how far it went.  Not what is *given_up*: it
    was tried again and again, and cannot be read.
    """
    if stored is not None and stored.swept_ms is not None:
        return Verdict.RETIRED
    owners = _owners(name, stored, sources)
    answering = [each for each in owners if each.answers(seen_ms)]
    if answering:
        served = _served(name, stored, answering)
        return _when_gone(stored, given_up=given_up) if served is Verdict.SWEEP else served
    complete = stored is not None and stored.complete
    if any(each.expected for each in owners):
        silent_ms = min(each.silent_ms for each in owners if each.expected)
        return Verdict.LEAVE if complete else _silent(silent_ms)
    unknown = [each.silent_ms for each in sources if each.expected and each.region is None]
    if not owners and unknown:  # it may be the machine of one that has yet to say who it is
        return Verdict.LEAVE if complete else _silent(min(unknown))
    return _when_gone(stored, given_up=given_up)


def _when_gone(stored: Stored | None, *, given_up: bool) -> Verdict:
    needless = given_up and stored is not None and stored.complete
    return Verdict.RETIRED if needless else Verdict.SWEEP


def _owners(name: Name, stored: Stored | None, sources: Sequence[Source]) -> list[Source]:
    """Return the sources that have the stream, or whose machine it is of."""
    return [
        each
        for each in sources
        if (each.region, each.machine) == (name.region, name.machine)
        or (stored is not None and stored.source == each.url)
    ]


def _served(name: Name, stored: Stored | None, answering: Sequence[Source]) -> Verdict:
    if any(f"{name.stream.hex()}{SUFFIX}" in each.unreadable for each in answering):
        return Verdict.READ
    if stored is not None and stored.present:
        return Verdict.READ if stored.wanting else Verdict.LEAVE
    return Verdict.SWEEP


def _silent(silent_ms: int) -> Verdict:
    return Verdict.WAIT if silent_ms < SILENT_MS else Verdict.READ


def is_due(retired_ms: Millis, now: Millis) -> bool:
    """Tell whether the combined database should no longer be restorable to before *retired_ms*."""
    return now - retired_ms > RESTORABLE_MS + MARGIN_MS


def may_go(
    retired_ms: Millis, swept_ms: Millis | None, newest_ms: Millis, oldest_base_ms: Millis | None
) -> bool:
    """Tell whether a replica may be deleted whose stream is *is_due*.

    What is in the store must bear it out: the combined database has a replica, no
    restore of it can begin before the stream had retired, and nobody has written
    to the stream's own since it was read at *swept_ms*.
    """
    if oldest_base_ms is None or still_written(retired_ms, swept_ms, newest_ms):
        return False
    return oldest_base_ms > retired_ms + MARGIN_MS


def still_written(retired_ms: Millis, swept_ms: Millis | None, newest_ms: Millis) -> bool:
    """Tell whether somebody may have written to a replica whose stream was taken for finished.

    A machine that nobody reaches may go on for hours, and be lost after all.  What was written
    shortly before it was read counts as well, for the store has a clock of its own: then the
    replica is read once more.
    """
    return newest_ms > (retired_ms + MARGIN_MS if swept_ms is None else swept_ms - CLOCKS_MS)
