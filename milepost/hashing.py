"""The calls that need an address key, as values: what is asked, and what of it is answered.

An item is a batch's header and its address box.  The answers stand in the order
of the items; one that cannot be given says why in its own place, and the others
are given all the same.

Rules of this file:
- Pure.
- No error and no repr holds an address.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from milepost.batch import ID_BYTES, Header, hex_bytes
from milepost.errors import RejectedError
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import BatchId, VisitorHash
from milepost.wire import box_from, header_from, header_json

ITEMS_MAX = 256
BODY_BYTES_MAX = 1 << 20
ITEM_BYTES_MAX = 256 << 10  # a thousand addresses and the longest tally need less
ERROR_CHARS_MAX = 300


class Fault(StrEnum):
    """Why an item is not answered."""

    MALFORMED = "malformed"  # no header or no box: whoever asks is of another version
    UNKNOWN_EPOCH = "unknown_epoch"
    DESTROYED = "destroyed"
    NO_MAC_KEY = "no_mac_key"  # the tokens file is older and lacks the key of some edge
    REFUSED = "refused"  # truncated, foreign, moved, forged, or nothing that it should be


@dataclass(frozen=True, slots=True)
class Item:
    """A batch's header and its address box."""

    header: Header
    box: bytes

    def to_json(self) -> dict[str, Any]:
        """Return what is sent."""
        return {**header_json(self.header), "addresses": base64.b64encode(self.box).decode()}


@dataclass(frozen=True, slots=True)
class Hashes:
    """The visitor hashes of a batch, by the index of their record."""

    batch: BatchId
    hashes: Mapping[int, VisitorHash]

    def to_json(self) -> dict[str, Any]:
        """Return what is answered."""
        found = {str(index): each.hex() for index, each in self.hashes.items()}
        return {"batch": self.batch.hex(), "hashes": found}


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses themselves, in their canonical form."""

    batch: BatchId
    addresses: Mapping[int, str] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return what is answered."""
        found = {str(index): each for index, each in self.addresses.items()}
        return {"batch": self.batch.hex(), "addresses": found}


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An item without an answer: which fault, and in words."""

    batch: BatchId | None  # None: not even that could be read
    fault: Fault
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return what is answered."""
        batch = self.batch.hex() if self.batch is not None else None
        return {"batch": batch, "code": self.fault, "error": self.text}


def parse_items(document: Any) -> list[Item | Unanswered]:
    """Read the body of a call; refuse it whole only where it is no list of so many items."""
    told = document.get("items") if isinstance(document, dict) else None
    if not isinstance(told, list):
        msg = 'want {"items": [{"stream", "seq", "batch", …, "addresses"}]}'
        raise RejectedError(msg)
    return [_item(each) for each in told]


def _item(told: Any) -> Item | Unanswered:
    try:
        header = header_from(told)
        return Item(header, box_from(told.get("addresses"), "addresses"))
    except RejectedError as error:
        return Unanswered(_batch_id(told), Fault.MALFORMED, str(error))


def _batch_id(told: Any) -> BatchId | None:
    try:
        return BatchId(hex_bytes(told.get("batch"), ID_BYTES, "batch"))
    except (RejectedError, AttributeError):
        return None


def parse_hashes(document: Any, asked: Sequence[Item]) -> list[Hashes | Unanswered]:
    """Read the answer to *asked*, or refuse what cannot be one."""
    told = document.get("items") if isinstance(document, dict) else None
    if not isinstance(told, list) or len(told) != len(asked):
        msg = "the key server answered for another number of items"
        raise RejectedError(msg)
    return [_hashes(each, item.header) for each, item in zip(told, asked, strict=True)]


def _hashes(told: Any, header: Header) -> Hashes | Unanswered:
    if _batch_id(told) != header.batch:
        msg = "the key server answered for another batch"
        raise RejectedError(msg)
    if "error" in told:
        return Unanswered(
            header.batch, _fault(told.get("code")), str(told["error"])[:ERROR_CHARS_MAX]
        )
    try:
        found = {
            int(index): VisitorHash(hex_bytes(each, HASH_BYTES, "hash"))
            for index, each in told["hashes"].items()
        }
    except (KeyError, AttributeError, ValueError) as error:
        msg = "the key server answered with no hashes"
        raise RejectedError(msg) from error
    if not all(0 <= index < header.count for index in found):
        msg = "the key server answered for records that the batch does not have"
        raise RejectedError(msg)
    return Hashes(header.batch, found)


def _fault(code: Any) -> Fault:
    try:
        return Fault(code)
    except ValueError:
        return Fault.MALFORMED  # one of a newer version: nothing is given up for it
