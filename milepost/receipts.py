"""Receipts: what the key server signs when it has destroyed something.

A receipt names the epoch, what of it is gone, the moment, and by hashes the very
secrets that went; and the moment after which no backup holds them either.  It
is signed by the identity that signs the list of epochs, so whoever knows that
identity can check it for ever, offline.

Rules of this file:
- Pure.
- A receipt says nothing about a secret: it holds hashes of public keys and of
  wrapped values, and those went with the secret.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import orjson

from milepost.batch import KEY_ID_BYTES, hex_bytes
from milepost.errors import RejectedError
from milepost.signing import sign, signed_content
from milepost.vocabulary import Epoch, KeyId, Millis

HASH_BYTES = 32

# What signs lists also signs receipts; neither may ever pass for the other.
KIND = "milepost destruction receipt 1"


class What(StrEnum):
    """What of an epoch is destroyed."""

    SALT = "salt"  # together with the address key
    RECORD = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One destruction."""

    epoch: Epoch
    what: What
    at_ms: Millis
    key: KeyId
    public_hash: bytes  # of the public key whose secret half is gone
    wrapped_hash: bytes  # of the bytes that were on disk
    clicks: int  # records that were known to become unreadable by it
    no_copy_after_ms: Millis


def hash_of(*parts: bytes) -> bytes:
    """Return the hash that names *parts*, each with its length."""
    digest = blake2b(digest_size=HASH_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()


def sign_receipt(receipt: Receipt, signing_key: bytes) -> str:
    """Return the document that is kept and told."""
    content = orjson.dumps(
        {
            "kind": KIND,
            "epoch": receipt.epoch,
            "what": receipt.what,
            "at_ms": receipt.at_ms,
            "key": receipt.key.hex(),
            "public_hash": receipt.public_hash.hex(),
            "wrapped_hash": receipt.wrapped_hash.hex(),
            "clicks": receipt.clicks,
            "no_copy_after_ms": receipt.no_copy_after_ms,
        }
    )
    return sign("receipt", content, signing_key).decode()


def verify_receipt(document: Any, identity: bytes) -> Receipt:
    """Return the receipt in *document*, or refuse one that *identity* did not sign."""
    signed_content("receipt", document, identity, what="receipt", signer="this key server")
    return read_receipt(document)


def read_receipt(document: Any) -> Receipt:
    """Return what *document* says, whoever signed it."""
    try:
        told = orjson.loads(document["receipt"])
        if told["kind"] != KIND:
            msg = "not a receipt of a destruction"
            raise RejectedError(msg)
        return Receipt(
            epoch=Epoch(int(told["epoch"])),
            what=What(told["what"]),
            at_ms=Millis(int(told["at_ms"])),
            key=KeyId(hex_bytes(told["key"], KEY_ID_BYTES, "key")),
            public_hash=hex_bytes(told["public_hash"], HASH_BYTES, "public_hash"),
            wrapped_hash=hex_bytes(told["wrapped_hash"], HASH_BYTES, "wrapped_hash"),
            clicks=int(told["clicks"]),
            no_copy_after_ms=Millis(int(told["no_copy_after_ms"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = "not a receipt"
        raise RejectedError(msg) from error
