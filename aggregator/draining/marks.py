"""Up to when all that a stream's source had committed is applied.

Each stream keeps a mark: the moment at which an answer was asked for, and the
most that the stream had promised with that answer.  Once its cursor has passed
the mark, all that was committed before that moment is applied; then the newest
answer becomes the mark.  So a stream that is written to without a pause, and is
therefore never pulled to its end, is complete up to a moment that keeps rising.

Marks live in memory.  After a restart the first answer sets them again, and
until its cursor has passed one nothing is known of a stream that is behind.

Rules of this file:
- Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from milepost.vocabulary import Millis, Seq, StreamId
from milepost.wire import Cursor, StreamHead

NEVER, NOTHING = Millis(0), Seq(0)


class Mark(NamedTuple):
    """What an answer said of a stream."""

    asked_ms: Millis
    seq: Seq  # the most that was promised by then: a file that comes back shorter takes none back


@dataclass(frozen=True, slots=True)
class Passage:
    """How far a stream has come past its marks."""

    mark: Mark
    promised: Seq
    complete_ms: Millis = NEVER  # all that was committed before is applied


def passages(
    before: Mapping[StreamId, Passage],
    promised: Mapping[StreamId, Seq],
    cursors: Mapping[StreamId, Cursor],
    heads: Iterable[StreamHead],
    asked_ms: Millis,
) -> dict[StreamId, Passage]:
    """Return how far each announced stream has come; *promised* tells of those not in *before*."""
    after = {}
    for head in heads:
        was = before.get(head.id)
        most = max(head.last_seq, was.promised if was else promised.get(head.id, NOTHING))
        cursor = cursors.get(head.id)
        at = cursor.seq if cursor else NOTHING
        after[head.id] = _moved(was, at, Mark(asked_ms, most))
    return after


def _moved(was: Passage | None, at: Seq, newest: Mark) -> Passage:
    if at >= newest.seq:
        return Passage(newest, newest.seq, newest.asked_ms)
    if was is None:
        return Passage(newest, newest.seq)
    if at >= was.mark.seq:
        return Passage(newest, newest.seq, was.mark.asked_ms)
    return Passage(was.mark, newest.seq, was.complete_ms)
