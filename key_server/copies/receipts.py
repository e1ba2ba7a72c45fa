"""Receipts as `recover` takes them: what was destroyed after the copy was made.

A document is `{"receipt": "<JSON text>", "signature": "<hex>"}`, signed by the
identity over the text, as the list of epochs is.

Rules of this file:
- Pure.
- What the identity did not sign is refused, whatever else is right: a forged
  receipt would destroy.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from milepost.errors import ConfigError, RejectedError
from milepost.receipts import verify_receipt
from milepost.vocabulary import Epoch, Millis

SALT, RECORD = "salt", "record"
RECEIPTS_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That something of an epoch was destroyed, and the document that says so."""

    epoch: Epoch
    what: str
    at_ms: Millis
    document: str


def read_receipts(content: bytes, identity: bytes) -> tuple[Proof, ...]:
    """Return what *content* proves, or refuse naming the first receipt that proves nothing."""
    found = []
    for place, told in enumerate(_documents(content), start=1):
        try:
            found.append(_proof(told, identity))
        except (RejectedError, KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"receipt {place} is not one of this identity; nothing was changed"
            raise ConfigError(msg) from error
    return tuple(found)


def _proof(told: Any, identity: bytes) -> Proof:
    """Read one receipt: the document itself, or an object that has it as `document`."""
    told = told.get("document", told)
    if isinstance(told, str):
        told = orjson.loads(told)
    receipt = verify_receipt(told, identity)
    document = {"receipt": told["receipt"], "signature": told["signature"]}
    return Proof(
        epoch=receipt.epoch,
        what=receipt.what,
        at_ms=receipt.at_ms,
        document=orjson.dumps(document).decode(),
    )


def _documents(content: bytes) -> Iterator[Any]:
    """Give each JSON object: of a list, of an object's `receipts`, or one a line."""
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        yield from _lines(content)
        return
    if isinstance(whole, dict):
        whole = whole.get("receipts", [whole])
    if not isinstance(whole, list):
        msg = "the receipts are not JSON objects"
        raise ConfigError(msg)
    yield from whole


def _lines(content: bytes) -> Iterator[Any]:
    for line in content.splitlines():
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                msg = "the receipts are not JSON, one a line"
                raise ConfigError(msg) from error
