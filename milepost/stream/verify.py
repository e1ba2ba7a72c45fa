"""Whether batches are what their writer wrote: in order, in the chain, within bounds.

The chain covers every bit of a batch, so a batch that follows the one before it
is whole.  What is damaged is named by its seq and why.

Rules of this file:
- Pure.
- A row out of a damaged file may hold anything at all; nothing here trusts it.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

from milepost.batch import HOUR_MS, Batch, parse_tally
from milepost.errors import RejectedError
from milepost.record import RECORDS_MAX
from milepost.wire import Cursor

NOT_A_ROW = (struct.error, TypeError, ValueError, AttributeError, RejectedError)


def fault_of(batch: Batch, before: Cursor) -> str:
    """Return what is wrong with *batch* behind *before*; nothing if it is as it was written."""
    try:
        if batch.header.seq != before.seq + 1:
            return f"a gap: batch {batch.header.seq} comes after {before.seq}"
        if not batch.follows(before.chain):
            return "it does not follow the chain"
        parse_tally(batch.header.tally)
    except NOT_A_ROW as error:
        return f"it is not a batch ({type(error).__name__})"
    return ""


def intact(batches: Sequence[Batch], before: Cursor) -> tuple[list[Batch], str]:
    """Return those of *batches* that follow *before* one by one, and what ended them if any."""
    good: list[Batch] = []
    for batch in batches:
        fault = fault_of(batch, before)
        if fault:
            return good, f"batch {before.seq + 1}: {fault}"
        good.append(batch)
        before = Cursor(batch.header.seq, batch.chain)
    return good, ""


def faults(batches: Iterable[Batch], before: Cursor) -> Iterator[tuple[Batch, str]]:
    """Give every batch with its fault, if any; each is checked against the row before it."""
    for batch in batches:
        yield batch, fault_of(batch, before) or _out_of_bounds(batch)
        before = Cursor(batch.header.seq, batch.chain)


def _out_of_bounds(batch: Batch) -> str:
    """Return what a right writer never puts into a header."""
    header = batch.header
    tally = parse_tally(header.tally)
    recorded = sum(row.recorded for row in tally)
    if not 0 <= header.count <= RECORDS_MAX:
        return f"it tells of {header.count} records; at most {RECORDS_MAX} fit"
    if header.first_ms > header.last_ms:
        return "its first moment is after its last"
    if bool(header.count) != bool(batch.records) or len(header.key) != (8 if header.count else 0):
        return "count, key and box contradict each other"
    if recorded != header.count:
        return f"it tallies {recorded} records and holds {header.count}"
    if any(row.hour_ms % HOUR_MS for row in tally):
        return "its tally has an hour that is none"
    return ""
