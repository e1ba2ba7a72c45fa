"""Whether batches are what their writer wrote: in order, in the chain, within bounds.

The chain covers every bit of a batch, so a batch that follows the one before it
is whole.  What is damaged is named by its seq and why.

Rules of this file:
- Pure.
- A row out of a damaged file may hold anything at all; nothing here trusts it.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence

from milepost.batch import CHAIN_BYTES, HOUR_MS, ID_BYTES, KEY_ID_BYTES, Batch, parse_tally
from milepost.errors import RejectedError
from milepost.record import RECORDS_MAX
from milepost.vocabulary import Seq
from milepost.wire import INTEGER_MAX, Cursor

NOT_A_ROW = (struct.error, TypeError, ValueError, AttributeError, RejectedError)


def fault_of(batch: Batch, before: Cursor) -> str:
    """Return what is wrong with *batch* behind *before*; nothing if it is as it was written."""
    try:
        if gap := _gap(batch, before.seq):
            return gap
        if not batch.follows(before.chain):
            return "it does not follow the chain"
        parse_tally(batch.header.tally)
    except NOT_A_ROW as error:
        return f"it is not a batch ({type(error).__name__})"
    return ""


def well_formed(batches: Sequence[Batch], before: Cursor) -> tuple[list[Batch], str]:
    """Return those of *batches* that can travel and come one by one, and what ended them if any.

    Whether they are what was written is for whoever counts them to judge, by the chain.
    """
    good: list[Batch] = []
    seq = before.seq
    for batch in batches:
        fault = _gap(batch, seq) or _form(batch)
        if fault:
            return good, f"batch {seq + 1}: {fault}"
        good.append(batch)
        seq = batch.header.seq
    return good, ""


def faults(batches: Iterable[Batch], before: Cursor) -> Iterator[tuple[Batch, str]]:
    """Give every batch with its fault, if any; each is checked against the row before it."""
    for batch in batches:
        yield batch, fault_of(batch, before) or _out_of_bounds(batch)
        before = Cursor(batch.header.seq, batch.chain)


def _gap(batch: Batch, seq: Seq) -> str:
    found = batch.header.seq
    return "" if found == seq + 1 else f"a gap: batch {found} comes after {seq}"


def _form(batch: Batch) -> str:
    """Return what keeps a row from being told to anybody, if anything."""
    header = batch.header
    numbers = (header.seq, header.epoch, header.count, header.first_ms, header.last_ms)
    if not all(type(n) is int and 0 <= n <= INTEGER_MAX for n in numbers):
        return "it is not a batch: a number in it is none"
    named = (header.batch, header.key, batch.records, batch.addresses, batch.chain)
    if not all(type(value) is bytes for value in named):
        return "it is not a batch: bytes in it are none"
    if (len(header.batch), len(batch.chain)) != (ID_BYTES, CHAIN_BYTES):
        return "it is not a batch: an id or a chain of another length"
    if len(header.key) not in (0, KEY_ID_BYTES):
        return "it is not a batch: a key id of another length"
    try:
        parse_tally(header.tally)
    except NOT_A_ROW as error:
        return f"it is not a batch ({type(error).__name__})"
    return ""


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
