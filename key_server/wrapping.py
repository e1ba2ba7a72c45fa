"""Wrapping: how secrets lie on disk.

Each secret is encrypted under a key that the master key yields for its purpose,
and bound to purpose and epoch: a wrapped value that was moved to another row or
column does not open.  What is kept to recognise the master key says nothing
about it.

Rules of this file:
- Pure.  Nonces are given.
- No secret appears in an error or a repr.

    wrapped = nonce(24) XChaCha20-Poly1305(secret, aad = purpose epoch(8))
"""

import hmac
from enum import StrEnum
from hashlib import blake2b

import nacl.bindings as sodium
import nacl.exceptions

from milepost.errors import ConfigError, ServiceError

MASTER_KEY_BYTES, WRAPPING_KEY_BYTES, CHECK_BYTES = 32, 32, 16
NONCE_BYTES = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES


class Purpose(StrEnum):
    """What a secret is for."""

    IDENTITY = "identity"
    RECORD = "record"
    ADDRESS = "address"
    SALT = "salt"
    COPY = "copy"  # all of keys.db, once more


class Vault:
    """Wraps and unwraps under one master key."""

    __slots__ = ("_keys", "check")

    def __init__(self, master_key: bytes) -> None:
        self._keys = {
            purpose: _derive(master_key, f"mp-wrap-{purpose}", WRAPPING_KEY_BYTES)
            for purpose in Purpose
        }
        self.check = _derive(master_key, "mp-master-check", CHECK_BYTES)

    def require_made(self, check: bytes) -> None:
        """Refuse unless *check* was left by the same master key."""
        if not hmac.compare_digest(check, self.check):
            msg = (
                "MILEPOST_MASTER_KEY is not the key this database was made with; "
                "give the right one, or set MILEPOST_DATA to another folder"
            )
            raise ConfigError(msg)

    def wrap(self, purpose: Purpose, epoch: int, secret: bytes, nonce: bytes) -> bytes:
        """Return *secret* as it may lie on disk.  A nonce serves once."""
        return nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
            secret, _bound_to(purpose, epoch), nonce, self._keys[purpose]
        )

    def unwrap(self, purpose: Purpose, epoch: int, wrapped: bytes) -> bytes:
        """Return the secret, or refuse what was wrapped for something else or damaged."""
        nonce, box = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
                box, _bound_to(purpose, epoch), nonce, self._keys[purpose]
            )
        except (nacl.exceptions.CryptoError, ValueError) as error:  # ValueError: cut off
            msg = f"the {purpose} secret of epoch {epoch} does not unwrap: keys.db is damaged"
            raise ServiceError(msg) from error


def _derive(master_key: bytes, person: str, size: int) -> bytes:
    return blake2b(key=master_key, person=person.encode(), digest_size=size).digest()


def _bound_to(purpose: Purpose, epoch: int) -> bytes:
    return purpose.encode() + epoch.to_bytes(8, "big")
