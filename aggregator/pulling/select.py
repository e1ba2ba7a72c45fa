"""What of an answer is to be applied.

Every batch of a stream is applied exactly once and in order, whatever is
repeated, cut, delayed or reordered on the way: taken is the batch that follows
the stream's cursor and whose chain proves it, skipped is what the cursor has
passed, and anything else ends that stream's part of the answer.

Rules of this file:
- Pure.
- A fault of one stream never holds up another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from milepost.batch import Batch, first_chain
from milepost.record import RECORDS_MAX
from milepost.vocabulary import Seq, StreamId
from milepost.wire import Cursor, PullAnswer

# An answer is bounded in bytes, but what is in the boxes can be much larger, and while one is
# applied the clicks of every source wait.
RECORDS_PER_ANSWER_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The batches to apply, in order, and where the streams stand before and after."""

    fresh: tuple[Batch, ...]
    before: Mapping[StreamId, Cursor]
    after: Mapping[StreamId, Cursor]
    faults: Mapping[StreamId, str] = field(default_factory=dict)


def beginning(stream: StreamId) -> Cursor:
    """Return the place before the first batch of *stream*."""
    return Cursor(Seq(0), first_chain(stream))


def select(cursors: Mapping[StreamId, Cursor], answer: PullAnswer) -> Selection:
    """Decide what of *answer* follows *cursors*."""
    announced = {head.id for head in answer.streams}
    before: dict[StreamId, Cursor] = {}
    after: dict[StreamId, Cursor] = {}
    faults = dict.fromkeys(answer.forks, "forked: the source has another chain than was pulled")
    fresh: list[Batch] = []
    records = 0
    for batch in answer.batches:
        stream = batch.header.stream
        if stream in faults:
            continue
        at = after.get(stream) or cursors.get(stream) or beginning(stream)
        if batch.header.seq <= at.seq:
            continue
        fault = "not announced" if stream not in announced else _fault(batch, at)
        if fault:
            faults[stream] = fault
            continue
        records += batch.header.count
        if fresh and records > RECORDS_PER_ANSWER_MAX:
            break  # the rest comes again
        before.setdefault(stream, at)
        after[stream] = Cursor(batch.header.seq, batch.chain)
        fresh.append(batch)
    return Selection(fresh=tuple(fresh), before=before, after=after, faults=faults)


def _fault(batch: Batch, at: Cursor) -> str:
    header = batch.header
    if header.seq != at.seq + 1:
        return f"a gap: batch {header.seq} came after {at.seq}"
    if not batch.follows(at.chain):
        return f"batch {header.seq} does not follow the chain"
    if header.count > RECORDS_MAX:
        return f"batch {header.seq} tells of {header.count} records; at most {RECORDS_MAX} fit"
    return ""
