"""What becomes of address boxes: which to ask for, and what an answer means.

A box is given up only for what can never change.  Whatever a person can mend, or
a newer version can read, keeps the box, and it is asked for again after a while.

Rules of this file:
- Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from milepost.hashing import ITEM_BYTES_MAX, Fault, Hashes, Item, Unanswered
from milepost.vocabulary import BatchId, Epoch, Millis

CALL_BYTES_MAX = 512 << 10  # half of what the key server takes
CALL_RECORDS_MAX = 20_000  # of the batches in one call; their hashes are one transaction
HEADER_BYTES = 400  # at most, without the tally
REST_MS_MIN, REST_MS_MAX, DOUBLINGS_MAX = 5_000, 10 * 60 * 1000, 16
RESTING_MAX = 100_000

Answer = Hashes | Unanswered


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A box that nobody will ever answer."""

    batch: BatchId
    fault: Fault


@dataclass(frozen=True, slots=True)
class Kept:
    """A box that is asked for again, and why it was not answered."""

    batch: BatchId
    fault: Fault
    text: str


Settled = Hashes | GivenUp
Verdict = Settled | Kept


class Resting:
    """The boxes that were kept, and until when they are left alone: longer each time."""

    def __init__(self) -> None:
        self._until: dict[BatchId, tuple[int, Millis]] = {}

    def rests(self, batch: BatchId, now: Millis) -> bool:
        """Tell whether *batch* is not to be asked for yet."""
        return batch in self._until and now < self._until[batch][1]

    def lay(self, batch: BatchId, now: Millis) -> None:
        """Leave *batch* alone for a while."""
        times, _ = self._until.pop(batch, (0, now))
        rest_ms = min(REST_MS_MAX, REST_MS_MIN << min(times, DOUBLINGS_MAX))
        self._until[batch] = (times + 1, Millis(now + rest_ms))
        while len(self._until) > RESTING_MAX:  # the longest known is asked for too early, once
            del self._until[next(iter(self._until))]

    def forget(self, batches: Iterable[BatchId]) -> None:
        """Forget *batches*: they are settled."""
        for batch in batches:
            self._until.pop(batch, None)


def fitting(items: Sequence[Item]) -> int:
    """Return how many of *items*, from the first on, go into one call; at least one."""
    room, records = CALL_BYTES_MAX, CALL_RECORDS_MAX
    for place, item in enumerate(items):
        if not too_large(item):
            room -= HEADER_BYTES + len(item.header.tally) + len(item.box) * 4 // 3 + 4
            records -= item.header.count
        if min(room, records) < 0 and place:
            return place
    return len(items)


def too_large(item: Item) -> bool:
    """Tell whether no key server takes *item*."""
    return len(item.box) > ITEM_BYTES_MAX or len(item.header.tally) > ITEM_BYTES_MAX


def judge(answers: Iterable[tuple[Item, Answer]], gone: Callable[[Epoch], bool]) -> list[Verdict]:
    """Return what each answer means; *gone* tells whether an epoch is known to be no more."""
    return list(_judge(answers, gone))


def _judge(
    answers: Iterable[tuple[Item, Answer]], gone: Callable[[Epoch], bool]
) -> Iterator[Verdict]:
    for item, answer in answers:
        if isinstance(answer, Hashes):
            yield answer
        elif answer.fault in {Fault.DESTROYED, Fault.REFUSED} or (
            answer.fault is Fault.UNKNOWN_EPOCH and gone(item.header.epoch)
        ):
            yield GivenUp(item.header.batch, answer.fault)
        else:
            yield Kept(item.header.batch, answer.fault, answer.text)
