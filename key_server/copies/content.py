"""What a copy of the keys holds, and the form in which it lies somewhere else.

Each secret in it is wrapped as it is in keys.db, and the whole is sealed once
more under a key that the master key yields.  A copy tells nothing to who has it
and not the master key, but which master key it needs.

Rules of this file:
- Pure.  Nonces are given.

    copy = magic check(16) nonce(24) XChaCha20-Poly1305(JSON, aad = purpose epoch(8))
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import orjson

from key_server.wrapping import CHECK_BYTES, Purpose, Vault
from milepost.batch import hex_bytes
from milepost.errors import ConfigError, RejectedError, ServiceError
from milepost.vocabulary import Epoch, Millis

MAGIC = b"milepost keys 1\n"
NO_EPOCH = 0
COPY_BYTES_MAX = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEpoch:
    """A row of the table: what was destroyed is None and has its moment."""

    number: Epoch
    start_ms: Millis
    end_ms: Millis
    record_key: bytes
    address_key: bytes
    record_secret: bytes | None = field(repr=False)  # the secrets are wrapped
    address_secret: bytes | None = field(repr=False)
    salt: bytes | None = field(repr=False)
    salt_gone_ms: Millis | None
    record_gone_ms: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReceipt:
    """A row of the table of receipts."""

    number: int
    epoch: Epoch
    what: str
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """All that is needed to go on, at one moment."""

    made_ms: Millis
    identity: bytes
    seed: bytes = field(repr=False)  # wrapped
    check: bytes
    version: Millis  # of the list that was published last
    trail_number: int  # the audit trail's last row
    trail_chain: bytes
    epochs: tuple[KeptEpoch, ...]
    receipts: tuple[KeptReceipt, ...]

    @property
    def highest(self) -> Epoch:
        """Return the highest number that the copy knows."""
        return max((epoch.number for epoch in self.epochs), default=Epoch(0))

    def sealed(self, vault: Vault, nonce: bytes) -> bytes:
        """Return the copy as it may lie anywhere.  A nonce serves once."""
        content = orjson.dumps(asdict(self), default=_hex)
        return MAGIC + vault.check + vault.wrap(Purpose.COPY, NO_EPOCH, content, nonce)

    @classmethod
    def opened(cls, sealed: bytes, vault: Vault) -> Self:
        """Read what `sealed` wrote, or refuse, telling another master key from damage."""
        if not sealed.startswith(MAGIC):
            msg = "that is no copy of the keys"
            raise ConfigError(msg)
        check, box = sealed[len(MAGIC) :][:CHECK_BYTES], sealed[len(MAGIC) + CHECK_BYTES :]
        if check != vault.check:
            msg = (
                "the copy needs another master key: give the one that "
                "was in use when it was made (MILEPOST_MASTER_KEY or _FILE)"
            )
            raise ConfigError(msg)
        try:
            return cls._parsed(orjson.loads(vault.unwrap(Purpose.COPY, NO_EPOCH, box)))
        except (ServiceError, KeyError, TypeError, ValueError) as error:
            msg = "the copy is damaged; take another"
            raise ConfigError(msg) from error

    @classmethod
    def _parsed(cls, told: Mapping[str, Any]) -> Self:
        return cls(
            made_ms=Millis(int(told["made_ms"])),
            identity=_bytes(told["identity"]),
            seed=_bytes(told["seed"]),
            check=_bytes(told["check"]),
            version=Millis(int(told["version"])),
            trail_number=int(told["trail_number"]),
            trail_chain=_bytes(told["trail_chain"]),
            epochs=tuple(map(_epoch, told["epochs"])),
            receipts=tuple(KeptReceipt(**each) for each in told["receipts"]),
        )


def _epoch(told: Mapping[str, Any]) -> KeptEpoch:
    return KeptEpoch(
        number=Epoch(int(told["number"])),
        start_ms=Millis(int(told["start_ms"])),
        end_ms=Millis(int(told["end_ms"])),
        record_key=_bytes(told["record_key"]),
        address_key=_bytes(told["address_key"]),
        record_secret=_bytes_or_none(told["record_secret"]),
        address_secret=_bytes_or_none(told["address_secret"]),
        salt=_bytes_or_none(told["salt"]),
        salt_gone_ms=told["salt_gone_ms"],
        record_gone_ms=told["record_gone_ms"],
    )


def _bytes_or_none(text: Any) -> bytes | None:
    return None if text is None else _bytes(text)


def _hex(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError
    return value.hex()


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        msg = "not hex"
        raise RejectedError(msg)
    return hex_bytes(text, len(text) // 2, "copy")
