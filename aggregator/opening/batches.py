"""Opening: from a sealed batch to its records, or to the reason why not.

One bad batch is set aside alone, and so is one bad record.  A key that cannot be
had now is no fault of the batch: it waits.

Rules of this file:
- Pure.  It costs CPU, so callers run `open_batches` on a thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter

from milepost.batch import Batch
from milepost.errors import RejectedError
from milepost.record import RAW_CHARS_MAX, Body, Record, raw_record
from milepost.seal import open_body
from milepost.vocabulary import Epoch, KeyId

# The last millisecond of the year 9999, the last that RFC 3339 can write.
TIME_MS_MAX = 253_402_300_799_999
STATUS_MIN, STATUS_MAX = 100, 999
ASN_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class RecordKey:
    """The secret half of an epoch's record key, and the id of the pair."""

    key: KeyId
    secret: bytes

    def __repr__(self) -> str:
        return f"RecordKey({self.key.hex()})"


@dataclass(frozen=True, slots=True)
class NoKey:
    """Why there is no key: for now, or for good when the epoch is unknown or destroyed."""

    reason: str
    for_good: bool


Key = RecordKey | NoKey


@dataclass(frozen=True, slots=True)
class Opened:
    """The records of a batch, none if it brought a tally only; raw ones are set aside alone."""

    batch: Batch
    body: Body


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch whose key is not at hand yet."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class SetAside:
    """A batch that cannot be read, and why."""

    batch: Batch
    reason: str


Outcome = Opened | Waiting | SetAside


def epochs_of(batches: Sequence[Batch]) -> set[Epoch]:
    """Return the epochs whose keys it takes to open *batches*."""
    return {batch.header.epoch for batch in batches if not _is_tally_only(batch)}


def open_batches(batches: Sequence[Batch], keys: Mapping[Epoch, Key]) -> list[Outcome]:
    """Open each of *batches*; *keys* answers for each of their epochs."""
    return [_open_batch(batch, keys) for batch in batches]


def first_of(batches: Sequence[Batch], records_max: int) -> Sequence[Batch]:
    """Return the first of *batches*: one at least, and no more than hold *records_max*."""
    sums = accumulate(batch.header.count for batch in batches)
    fitting = sum(1 for records in sums if records <= records_max)
    return batches[: max(1, fitting)]


def needs_addresses(outcome: Outcome) -> bool:
    """Tell whether the batch's address box is still good for something: a missing hash."""
    if not isinstance(outcome, Opened):
        return True
    return any(record.visitor is None and not record.opt_out for record in outcome.body.records)


def _is_tally_only(batch: Batch) -> bool:
    return batch.header.count == 0 and not batch.records


def _open_batch(batch: Batch, keys: Mapping[Epoch, Key]) -> Outcome:
    if _is_tally_only(batch):
        return Opened(batch, Body())
    key = keys[batch.header.epoch]
    if isinstance(key, NoKey):
        return SetAside(batch, key.reason) if key.for_good else Waiting(batch)
    if key.key != batch.header.key:
        return SetAside(batch, "the batch names another key than its epoch has")
    try:
        body = open_body(batch.header, batch.records, key.secret)
    except RejectedError as error:
        return SetAside(batch, str(error))
    return Opened(batch, _without_faults(body))


def _without_faults(body: Body) -> Body:
    """Return *body* with those of its records as raw that cannot be stored and told."""
    if not any(map(_fault, body.records)):
        return body
    placed = list(body.placed())
    more = [
        raw_record(index, record, fault, RAW_CHARS_MAX)
        for index, record in placed
        if (fault := _fault(record))
    ]
    good = tuple(record for _, record in placed if not _fault(record))
    return Body(good, tuple(sorted((*body.raw, *more), key=attrgetter("index"))))


def _fault(record: Record) -> str:
    """Return what keeps *record* from being stored and told, if anything."""
    if not 0 <= record.time <= TIME_MS_MAX:
        return "a record's time is no moment before the year 10000"
    if not STATUS_MIN <= record.status <= STATUS_MAX:
        return "a record's status is no HTTP status"
    if record.asn is not None and not 0 <= record.asn <= ASN_MAX:
        return "a record's ASN is out of range"
    return ""
