"""What of an answer is to be applied, and what is to be set aside.

Every batch of a stream is applied exactly once and in order, whatever is
repeated, cut, delayed or reordered on the way: taken is the batch that follows
the stream's place and whose chain proves it, and skipped is what the place has
passed.

A batch that does not follow is damaged, if the stream goes on behind it: the next
one follows the chain value in its row, or it is the last that the source announces
of a closed stream.  Then it is set aside alone.  Several in a row are, when one
behind them follows.  A damaged chain value alone costs nothing: the batch behind
it proves both.  Where nothing proves that the stream goes on, nothing is taken of
it, and it is asked for again: a chain that never holds is no damage but nonsense.

Rules of this file:
- Pure.
- A fault of one stream never holds up another.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from aggregator.pulling.standing import Hole, beginning
from milepost.batch import Batch, next_chain
from milepost.record import RECORDS_MAX
from milepost.vocabulary import Chain, StreamId
from milepost.wire import Cursor, PullAnswer, StreamHead

# An answer is bounded in bytes, but what is in the boxes can be much larger, and while one is
# applied the clicks of every source wait.
RECORDS_PER_ANSWER_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Damaged:
    """A batch that is set aside alone: why, and the chain value that stands before it."""

    batch: Batch
    before: Chain
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The batches to apply, in order, and where the streams stand before and after."""

    fresh: tuple[Batch, ...]
    before: Mapping[StreamId, Cursor]
    after: dict[StreamId, Cursor]
    faults: Mapping[StreamId, str] = field(default_factory=dict)
    damaged: tuple[Damaged, ...] = ()
    begun: frozenset[StreamId] = frozenset()  # streams whose branch begins

    @property
    def moves(self) -> bool:
        """Tell whether the same question will have another answer from now on."""
        return bool(self.fresh or self.damaged or self.begun)

    def passed(self) -> Iterable[Batch]:
        """Give every batch that the cursors pass."""
        yield from self.fresh
        yield from (each.batch for each in self.damaged)


def select(
    places: Mapping[StreamId, Cursor],
    answer: PullAnswer,
    holes: Mapping[StreamId, Collection[Hole]] | None = None,
) -> Selection:
    """Decide what of *answer* follows *places*, or fills one of the *holes* before them."""
    heads = {head.id: head for head in answer.streams}
    before: dict[StreamId, Cursor] = {}
    after: dict[StreamId, Cursor] = {}
    faults: dict[StreamId, str] = {}
    fresh: list[Batch] = []
    damaged: list[Damaged] = []
    records = 0
    for stream, batches in _by_stream(answer).items():
        head = heads.get(stream)
        if head is None:
            faults[stream] = "not announced"
            continue
        at = places.get(stream) or beginning(stream)
        filling = _filling(batches, at, (holes or {}).get(stream, ()))
        going = _Going(at, head)
        going.take(batches, RECORDS_PER_ANSWER_MAX - records)
        fresh += filling + going.good
        damaged += going.damaged
        records += sum(batch.header.count for batch in filling + going.good)
        if going.at != at:
            before[stream], after[stream] = at, going.at
        if going.fault:
            faults[stream] = going.fault
        if records >= RECORDS_PER_ANSWER_MAX:
            break  # the rest comes again
    return Selection(
        fresh=tuple(fresh), before=before, after=after, faults=faults, damaged=tuple(damaged)
    )


class _Going:
    """Goes along the batches of one stream."""

    def __init__(self, at: Cursor, head: StreamHead) -> None:
        self.at = at  # everything up to here is decided
        self.good: list[Batch] = []
        self.damaged: list[Damaged] = []
        self.fault = ""
        self._head = head
        self._doubtful: list[Damaged] = []  # what nothing behind it has followed yet

    def take(self, batches: Iterable[Batch], records_max: int) -> None:
        """Decide about *batches*, until they tell of *records_max* records."""
        records = 0
        for batch in batches:
            place = self._place()
            if batch.header.seq == place.seq and batch.chain != place.chain:
                self.fault = f"batch {batch.header.seq} is of another history"
                break
            if batch.header.seq <= place.seq:
                continue
            if batch.header.seq != place.seq + 1:
                self.fault = f"a gap: batch {batch.header.seq} came after {place.seq}"
                break
            if records >= records_max and not self._doubtful:
                break
            records += min(batch.header.count, RECORDS_MAX)
            self._judge(batch, place)
        if self._doubtful and not self.fault:
            self.fault = self._doubtful[0].reason

    def _judge(self, batch: Batch, place: Cursor) -> None:
        if batch.follows(place.chain):
            self._go_on(batch, place, self._doubtful)
        elif self._doubtful and batch.follows(_chain_of(self._doubtful[-1])):
            # The one before is whole, and only its chain value is not.
            *others, whole = self._doubtful
            self._go_on(whole.batch, Cursor(place.seq, whole.before), others)
            self._go_on(batch, place, [])
        else:
            reason = f"batch {batch.header.seq} does not follow the chain"
            self._doubtful.append(Damaged(batch, place.chain, reason))
            if len(self._doubtful) == 1 and _is_the_end(batch, self._head):
                self._decide(self._doubtful, batch)

    def _go_on(self, batch: Batch, place: Cursor, doubtful: list[Damaged]) -> None:
        """Take *batch*, which proves that the stream goes on behind the *doubtful*."""
        if batch.header.count <= RECORDS_MAX:
            self._decide(doubtful, batch)
            self.good.append(batch)
            return
        reason = f"it tells of {batch.header.count} records; at most {RECORDS_MAX} fit"
        self._decide([*doubtful, Damaged(batch, place.chain, reason)], batch)

    def _decide(self, damaged: list[Damaged], last: Batch) -> None:
        self.damaged += damaged
        self._doubtful = []
        self.at = Cursor(last.header.seq, last.chain)

    def _place(self) -> Cursor:
        if not self._doubtful:
            return self.at
        last = self._doubtful[-1].batch
        return Cursor(last.header.seq, last.chain)


def _by_stream(answer: PullAnswer) -> dict[StreamId, list[Batch]]:
    found: dict[StreamId, list[Batch]] = {}
    for batch in answer.batches:
        if batch.header.stream not in answer.forks:
            found.setdefault(batch.header.stream, []).append(batch)
    return found


def _filling(batches: Iterable[Batch], at: Cursor, holes: Collection[Hole]) -> list[Batch]:
    """Return those of *batches* that are what a damaged one once was."""
    if not holes:
        return []
    return [
        batch
        for batch in batches
        if batch.header.seq <= at.seq
        and batch.header.count <= RECORDS_MAX
        and any(seq == batch.header.seq and batch.follows(chain) for seq, chain in holes)
    ]


def _chain_of(doubtful: Damaged) -> Chain:
    """Return the chain value that would stand in its row if the rest of it is whole."""
    batch = doubtful.batch
    return next_chain(doubtful.before, batch.header, batch.records, batch.addresses)


def _is_the_end(batch: Batch, head: StreamHead) -> bool:
    return not head.open and Cursor(batch.header.seq, batch.chain) == (
        head.last_seq,
        head.last_chain,
    )
