"""A batch: the records of one group commit, its header, tally and place in the chain.

A batch is the unit that is sealed, stored, pulled and counted once.  What stands
here in bytes is fixed for ever: streams are never migrated.

    header = stream(16) seq(8) batch(16) epoch(8) part(key) count(8) first_ms(8) last_ms(8)
             part(tally)
    boxes  = part(records) part(addresses)
    chain  = BLAKE2b-256(chain before, header, boxes); before the first: BLAKE2b-256(stream)

Integers are big-endian, `part` is a 4-byte length and that many bytes, and an
absent part has length 0.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from milepost.errors import RejectedError
from milepost.vocabulary import BatchId, Chain, Epoch, KeyId, Millis, Seq, StreamId

HOUR_MS = 3_600_000
ID_BYTES, KEY_ID_BYTES, CHAIN_BYTES = 16, 8, 32
TALLY_HOURS_MAX = 1_000
TALLY_COUNT_MAX = (1 << 53) - 1  # far above any count, and sums of a thousand still fit 8 bytes


class TallyRow(NamedTuple):
    """How many visits of one hour had which outcome, since the batch before."""

    hour_ms: int
    recorded: int
    late: int
    shed: int
    excluded: int


Tally = tuple[TallyRow, ...]


def hour_of(moment: Millis) -> int:
    """Return the first millisecond of the hour that *moment* is in."""
    return moment - moment % HOUR_MS


def tally_text(tally: Tally) -> str:
    """Write *tally* as it stands in a batch row."""
    return orjson.dumps([list(row) for row in tally]).decode()


def parse_tally(text: str) -> Tally:
    """Read a tally, or refuse."""
    try:
        rows = tuple(TallyRow(*row) for row in orjson.loads(text))
    except (orjson.JSONDecodeError, TypeError) as error:
        msg = "not a tally"
        raise RejectedError(msg) from error
    counts = [value for row in rows for value in row]
    if len(rows) > TALLY_HOURS_MAX or not all(
        type(n) is int and 0 <= n <= TALLY_COUNT_MAX for n in counts
    ):
        msg = "not a tally"
        raise RejectedError(msg)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What may be read of a batch without a key."""

    stream: StreamId
    seq: Seq
    batch: BatchId
    epoch: Epoch
    key: KeyId
    count: int
    first_ms: Millis
    last_ms: Millis
    tally: str

    def to_bytes(self) -> bytes:
        """Return the one encoding that is chained and stands inside the boxes."""
        return b"".join(
            (
                self.stream,
                struct.pack(">Q", self.seq),
                self.batch,
                struct.pack(">Q", self.epoch),
                part(self.key),
                struct.pack(">QQQ", self.count, self.first_ms, self.last_ms),
                part(self.tally.encode()),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch row: header, the two sealed boxes (empty when absent), and its chain value."""

    header: Header
    records: bytes
    addresses: bytes
    chain: Chain

    def follows(self, before: Chain) -> bool:
        """Tell whether the row is what was written after *before*."""
        return next_chain(before, self.header, self.records, self.addresses) == self.chain


def part(value: bytes) -> bytes:
    """Return *value* behind its length."""
    return struct.pack(">I", len(value)) + value


def take_part(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the part of *data* that begins at *at*, and where the next one begins."""
    if at + 4 > len(data):
        msg = "cut off"
        raise RejectedError(msg)
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if end > len(data):
        msg = "cut off"
        raise RejectedError(msg)
    return data[at + 4 : end], end


def first_chain(stream: StreamId) -> Chain:
    """Return the chain value before the first batch."""
    return Chain(blake2b(stream, digest_size=CHAIN_BYTES).digest())


def next_chain(before: Chain, header: Header, records: bytes, addresses: bytes) -> Chain:
    """Return the chain value after a batch."""
    digest = blake2b(before, digest_size=CHAIN_BYTES)
    digest.update(header.to_bytes())
    digest.update(part(records))
    digest.update(part(addresses))
    return Chain(digest.digest())


def add_tallies(rows: Iterable[TallyRow]) -> Tally:
    """Sum *rows* per hour."""
    sums: dict[int, list[int]] = {}
    for hour, *counts in rows:
        have = sums.setdefault(hour, [0, 0, 0, 0])
        for index, count in enumerate(counts):
            have[index] += count
    return tuple(TallyRow(hour, *counts) for hour, counts in sorted(sums.items()))


def hex_bytes(value: Any, size: int, what: str) -> bytes:
    """Read *size* bytes written in hex, or refuse naming *what*."""
    try:
        found = bytes.fromhex(value)
    except (TypeError, ValueError):
        found = b""
    if len(found) != size:
        msg = f"{what}: want {2 * size} hex digits"
        raise RejectedError(msg)
    return found
