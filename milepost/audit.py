"""The audit trail of the key server: who asked for what, each row chained to the one before.

A row that was changed, left out or put in breaks the chain from there on.

Rules of this file:
- Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from milepost.batch import hex_bytes
from milepost.errors import RejectedError
from milepost.vocabulary import Epoch, Millis

CHAIN_BYTES = 32
BEFORE_THE_FIRST = bytes(CHAIN_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One line of the trail."""

    number: int
    at_ms: Millis
    who: str
    what: str
    epoch: Epoch  # 0: none in particular
    count: int
    chain: bytes

    def to_json(self) -> dict[str, Any]:
        """Return what the API answers."""
        return {
            "number": self.number,
            "at_ms": self.at_ms,
            "who": self.who,
            "what": self.what,
            "epoch": self.epoch,
            "count": self.count,
            "chain": self.chain.hex(),
        }

    def follows(self, before: bytes) -> bool:
        """Tell whether the row is what was written after *before*."""
        fields = (self.number, self.at_ms, self.who, self.what, self.epoch, self.count)
        return next_audit_chain(before, fields) == self.chain


def audit_row_from(told: Any) -> AuditRow:
    """Read what `to_json` wrote, or refuse."""
    try:
        return AuditRow(
            number=int(told["number"]),
            at_ms=Millis(int(told["at_ms"])),
            who=str(told["who"]),
            what=str(told["what"]),
            epoch=Epoch(int(told["epoch"])),
            count=int(told["count"]),
            chain=hex_bytes(told["chain"], CHAIN_BYTES, "chain"),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = "not a row of the audit trail"
        raise RejectedError(msg) from error


def next_audit_chain(before: bytes, fields: Iterable[int | str]) -> bytes:
    """Return the chain value of a row with *fields*, in the order of the table."""
    return blake2b(before + orjson.dumps(list(fields)), digest_size=CHAIN_BYTES).digest()


def verify_trail(
    rows: Iterable[AuditRow], before: bytes = BEFORE_THE_FIRST, number: int = 0
) -> bytes:
    """Return the chain value after *rows*, or refuse naming the first that does not fit."""
    for row in rows:
        number += 1
        if row.number != number:
            msg = f"row {number} is missing: {row.number} stands in its place"
            raise RejectedError(msg)
        if not row.follows(before):
            msg = f"row {row.number} is not what was written after row {row.number - 1}"
            raise RejectedError(msg)
        before = row.chain
    return before
