"""How far behind a source the database is, in seconds.

Nothing that was announced is missing: 0.  Something is: the time since the
moment up to which all is known to be applied.  Of a source that does not answer
nobody knows what is missing: the time since it last did.

Rules of this file:
- Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.pulling.select import Selection
from milepost.vocabulary import Millis, Seq, StreamId
from milepost.wire import Cursor, PullAnswer

NEVER, NOTHING = Millis(0), Seq(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """What this process has seen of one stream."""

    announced: Seq = NOTHING  # by the last answer
    applied_ms: Millis = NEVER  # the newest record that was applied
    complete_ms: Millis = NEVER  # when nothing was missing that the last answer announced

    def since(self, *, last_seq: Seq, created_ms: Millis) -> Millis:
        """Return up to when all is applied of a stream that once announced *last_seq*.

        One that came back shorter lacks what it has promised, however much of the rest is here.
        """
        complete_ms = self.complete_ms if last_seq <= self.announced else NEVER
        return max(self.applied_ms, complete_ms, created_ms)


def progress(
    before: Mapping[StreamId, Progress],
    known: Mapping[StreamId, Cursor],
    answer: PullAnswer,
    selection: Selection,
    asked_ms: Millis,
) -> dict[StreamId, Progress]:
    """Return how far each announced stream is, now that *selection* is applied."""
    newest: dict[StreamId, Millis] = {}
    for batch in selection.fresh:
        stream = batch.header.stream
        newest[stream] = max(newest.get(stream, NEVER), batch.header.last_ms)
    after = {}
    for head in answer.streams:
        was = before.get(head.id, Progress())
        cursor = selection.after.get(head.id) or known.get(head.id)
        complete = (cursor.seq if cursor else 0) >= head.last_seq
        after[head.id] = Progress(
            announced=head.last_seq,
            applied_ms=max(was.applied_ms, newest.get(head.id, NEVER)),
            complete_ms=asked_ms if complete else was.complete_ms,
        )
    return after


def seconds_since(moment: Millis, now: Millis) -> float:
    """Return how long ago *moment* is; the clock of an edge may be ahead of ours."""
    return max(0, now - moment) / 1000
