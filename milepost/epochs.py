"""Epochs as everybody sees them: the signed public list.

The key server publishes which spans there are and their public keys.  There is
nothing secret in the list, so edges cache it on disk; what it must not be is
forged or old, so it is signed, and its version is the moment of signing.

Rules of this file:
- Pure.  Spans are half-open, [start, end).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson

from milepost.batch import hex_bytes
from milepost.errors import RejectedError
from milepost.signing import sign, signed_content
from milepost.vocabulary import Epoch, KeyId, Millis

PUBLIC_KEY_BYTES, IDENTITY_BYTES, SALT_BYTES = 32, 32, 32
EPOCHS_IN_LIST_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicEpoch:
    """What everybody may know of an epoch."""

    number: Epoch
    start_ms: Millis
    end_ms: Millis
    record_key: bytes
    address_key: bytes

    @property
    def key_id(self) -> KeyId:
        """Name both public keys at once."""
        return KeyId(blake2b(self.record_key + self.address_key, digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class EpochList:
    """The epochs of one key server at one moment, in order."""

    version: Millis
    epochs: tuple[PublicEpoch, ...]

    def at(self, now: Millis) -> PublicEpoch | None:
        """Return the epoch that holds *now*, or the nearest listed one."""
        if not self.epochs:
            return None
        for epoch in self.epochs:
            if now < epoch.end_ms:
                return epoch
        return self.epochs[-1]

    def covers(self, now: Millis) -> bool:
        """Tell whether *now* lies in the list's span."""
        return bool(self.epochs) and self.epochs[0].start_ms <= now < self.epochs[-1].end_ms


def sign_list(version: Millis, epochs: Sequence[PublicEpoch], signing_key: bytes) -> bytes:
    """Return the document that the key server publishes."""
    content = orjson.dumps(
        {
            "version": version,
            "epochs": [
                {
                    "epoch": epoch.number,
                    "start_ms": epoch.start_ms,
                    "end_ms": epoch.end_ms,
                    "record_key": epoch.record_key.hex(),
                    "address_key": epoch.address_key.hex(),
                }
                for epoch in epochs
            ],
        }
    )
    return sign("list", content, signing_key)


def verify_list(document: Any, identity: bytes) -> EpochList:
    """Return the list in *document*, or refuse one that *identity* did not sign."""
    content = signed_content(
        "list", document, identity, what="list of epochs", signer="the configured key server"
    )
    return _parse_list(content)


def _parse_list(content: bytes) -> EpochList:
    try:
        told = orjson.loads(content)
        epochs = tuple(
            PublicEpoch(
                number=Epoch(int(entry["epoch"])),
                start_ms=Millis(int(entry["start_ms"])),
                end_ms=Millis(int(entry["end_ms"])),
                record_key=hex_bytes(entry["record_key"], PUBLIC_KEY_BYTES, "record_key"),
                address_key=hex_bytes(entry["address_key"], PUBLIC_KEY_BYTES, "address_key"),
            )
            for entry in told["epochs"][:EPOCHS_IN_LIST_MAX]
        )
        return EpochList(Millis(int(told["version"])), epochs)
    except (KeyError, TypeError, ValueError) as error:
        msg = "not a list of epochs"
        raise RejectedError(msg) from error
