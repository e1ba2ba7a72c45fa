"""Sealing a batch whatever its records are.

A record that cannot be encoded must cost none of the others its place.  So
where a batch does not encode, each record is tried alone, and what fails is
sealed as text, with its reason.

Rules of this file:
- Pure, but for what sealing needs.
- There is always a box: a writer that stops would lose what comes after.
"""

import contextlib
from collections.abc import Iterator, Sequence

from milepost.batch import Header
from milepost.errors import InvariantError, RejectedError
from milepost.record import RAW_CHARS_MAX, Record, encode_records, raw_record
from milepost.seal import BOX_OPENED_BYTES_MAX, seal_records

UNENCODABLE = (TypeError, ValueError, AttributeError, RejectedError)
ALONE_BYTES_MAX = BOX_OPENED_BYTES_MAX // 2
# Raw text is cut shorter until the box holds all of the batch; without any it always does.
CHARS = (RAW_CHARS_MAX, 100, 0)


def seal_whatever(
    header: Header, records: Sequence[Record], public_key: bytes
) -> tuple[bytes, dict[int, str]]:
    """Return the record box of a batch, and why which of its records are raw in it."""
    with contextlib.suppress(*UNENCODABLE):
        return seal_records(header, records, public_key), {}
    for reasons, chars_max in _attempts(records):
        good = [record for index, record in enumerate(records) if index not in reasons]
        raw = [
            raw_record(index, records[index], reason, chars_max)
            for index, reason in reasons.items()
        ]
        with contextlib.suppress(RejectedError):
            return seal_records(header, good, public_key, raw), reasons
    msg = f"{len(records)} records do not fit into a box even without their fields"
    raise InvariantError(msg)


def _attempts(records: Sequence[Record]) -> Iterator[tuple[dict[int, str], int]]:
    reasons = {index: reason for index, record in enumerate(records) if (reason := _reason(record))}
    for chars_max in CHARS:
        yield reasons, chars_max
    everything = {index: reasons.get(index, "no room") for index in range(len(records))}
    for chars_max in CHARS:
        yield everything, chars_max


def _reason(record: Record) -> str:
    """Return why *record* cannot be encoded; nothing if it can."""
    try:
        size = len(encode_records([record]))
    except UNENCODABLE as error:
        return f"{type(error).__name__}: {error}"
    return "" if size <= ALONE_BYTES_MAX else f"{size} bytes, too large to be sealed"
