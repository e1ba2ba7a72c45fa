"""Receipts: what is signed is what is read, and nothing else passes for it."""

from random import Random
from typing import Any

import nacl.bindings as sodium
import orjson
import pytest

from milepost.epochs import sign_list, verify_list
from milepost.errors import RejectedError
from milepost.receipts import Receipt, What, hash_of, sign_receipt, verify_receipt
from milepost.vocabulary import Epoch, KeyId, Millis

IDENTITY, SIGNING_KEY = sodium.crypto_sign_seed_keypair(Random(1).randbytes(32))
RECEIPT = Receipt(
    epoch=Epoch(7),
    what=What.RECORD,
    at_ms=Millis(1_763_640_000_000),
    key=KeyId(b"k" * 8),
    public_hash=hash_of(b"public"),
    wrapped_hash=hash_of(b"wrapped"),
    clicks=3,
    no_copy_after_ms=Millis(1_763_812_800_000),
)


def document() -> Any:
    """Return a signed receipt."""
    return orjson.loads(sign_receipt(RECEIPT, SIGNING_KEY))


def test_what_was_signed_is_read() -> None:
    """Every field of it."""
    assert verify_receipt(document(), IDENTITY) == RECEIPT


@pytest.mark.parametrize("field", ["receipt", "signature"])
def test_a_changed_receipt_is_refused(field: str) -> None:
    """Whatever was changed."""
    changed = document()
    text = changed[field]
    changed[field] = text.replace("7", "8", 1) if "7" in text else "00" + text[2:]

    with pytest.raises(RejectedError):
        verify_receipt(changed, IDENTITY)


def test_another_identity_signed_it() -> None:
    """A receipt of another key server says nothing about this one."""
    other, _ = sodium.crypto_sign_seed_keypair(Random(2).randbytes(32))

    with pytest.raises(RejectedError, match="not signed by this key server"):
        verify_receipt(document(), other)


def test_lists_and_receipts_never_pass_for_each_other() -> None:
    """One identity signs both."""
    signed = orjson.loads(sign_list(Millis(1), (), SIGNING_KEY))
    with pytest.raises(RejectedError):
        verify_receipt({"receipt": signed["list"], "signature": signed["signature"]}, IDENTITY)

    told = document()
    with pytest.raises(RejectedError):
        verify_list({"list": told["receipt"], "signature": told["signature"]}, IDENTITY)


@pytest.mark.parametrize("value", [None, [], {}, {"receipt": 1, "signature": ""}, "text"])
def test_what_is_no_receipt_is_refused(value: Any) -> None:
    """Without a traceback."""
    with pytest.raises(RejectedError):
        verify_receipt(value, IDENTITY)


@pytest.mark.parametrize(
    "changes", [{"kind": "x"}, {"what": "all"}, {"epoch": "x"}, {"key": "00"}, {"clicks": None}]
)
def test_a_signed_text_that_is_no_receipt_is_refused(changes: dict[str, Any]) -> None:
    """A signature proves who wrote it, not that it makes sense."""
    content = orjson.dumps(orjson.loads(document()["receipt"]) | changes)
    signature = sodium.crypto_sign(content, SIGNING_KEY)[:64]

    with pytest.raises(RejectedError):
        verify_receipt({"receipt": content.decode(), "signature": signature.hex()}, IDENTITY)


def test_a_hash_tells_where_its_parts_end() -> None:
    """Bare concatenation would not."""
    assert hash_of(b"ab", b"c") != hash_of(b"a", b"bc")
