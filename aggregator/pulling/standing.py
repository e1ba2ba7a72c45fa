"""Where a stream stands: its cursor, and the branch that a file may have beside it.

Everything up to the cursor is applied.  A file that does not hold the cursor (it
was rolled back, or forked) has a history of its own: the branch says how far that
one is applied, from its beginning on.  A branch belongs to the source whose file
has it; every other source is asked by the cursor.

Rules of this file:
- Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from milepost.batch import first_chain
from milepost.vocabulary import Chain, Millis, Seq, StreamId
from milepost.wire import Cursor, PullAnswer

# A file that changes again is read again from its beginning, ever more rarely.
PAUSE_MS_MIN, PAUSE_MS_MAX = 1_000, 3_600_000
DOUBLINGS_MAX = 16

FORKED_AT_THE_BEGINNING = "the source calls the beginning itself a fork"
FORKED_AGAIN = "forked again: its file is read anew a little later"

# Seq of a damaged batch, and the chain value before it.
Hole = tuple[Seq, Chain]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is stored of one stream's progress."""

    cursor: Cursor
    branch: Cursor | None = None
    branch_source: str = ""
    forks: int = 0
    forked_ms: Millis | None = None
    abandoned: bool = False
    end: Cursor | None = None  # of a stream that is abandoned and cannot be pulled to its end
    holes: frozenset[Hole] = frozenset()

    def place(self, source: str) -> Cursor:
        """Return what *source* is asked by."""
        if self.branch is not None and self.branch_source == source:
            return self.branch
        return self.cursor

    def acknowledged(self, source: str) -> Cursor:
        """Return up to where *source* may forget."""
        return self.end or self.place(source)


def beginning(stream: StreamId) -> Cursor:
    """Return the place before the first batch of *stream*."""
    return Cursor(Seq(0), first_chain(stream))


def is_forgotten(
    standings: Mapping[StreamId, Standing],
    answer: PullAnswer,
    after: Mapping[StreamId, Cursor],
    news: Collection[StreamId],
) -> bool:
    """Tell whether a source was told that an end is safe which is not known here.

    Who told it was this database, before it was restored to an earlier moment: no cursor ever
    goes back, nor is it so far *after* the answer.  Beside or behind the cursor a file may be a
    branch, and another file may have taken its place since; there it is *news* of the stream
    that give it away.  An end that was written off has never been known.
    """
    for head in answer.streams:
        standing = standings.get(head.id)
        if not head.acknowledged or (standing is not None and standing.abandoned):
            continue
        known = (standing.cursor if standing else None, after.get(head.id))
        if head.id in news or max(at.seq if at else 0 for at in known) < head.last_seq:
            return True
    return False


def judge_forks(
    standings: Mapping[StreamId, Standing], source: str, answer: PullAnswer, now: Millis
) -> tuple[frozenset[StreamId], dict[StreamId, str]]:
    """Return the streams whose branch begins now, and why those others that forked wait."""
    announced = {head.id for head in answer.streams}
    begun = set()
    waiting = {}
    for stream in set(answer.forks) & announced:
        standing = standings.get(stream)
        if standing is None or standing.place(source).seq == 0:
            waiting[stream] = FORKED_AT_THE_BEGINNING
        elif _has_paused(standing, now):
            begun.add(stream)
        else:
            waiting[stream] = FORKED_AGAIN
    return frozenset(begun), waiting


def _has_paused(standing: Standing, now: Millis) -> bool:
    if standing.forked_ms is None:
        return True
    pause = min(PAUSE_MS_MAX, PAUSE_MS_MIN << min(max(standing.forks - 1, 0), DOUBLINGS_MAX))
    return not 0 <= now - standing.forked_ms < pause  # a clock that was set back holds up nothing
