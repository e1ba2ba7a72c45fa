"""What somebody has who kept everything: every box, every state of the keys, every replica."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import nacl.exceptions

from key_server.copies.content import Copy
from key_server.wrapping import Purpose, Vault
from milepost.sqlite import connect_read_only
from tests.log.test_log_litestream import BINARY

MASTER_KEY = bytes.fromhex("11" * 32)
IN_A_STREAM = "SELECT epoch, records, addresses FROM batch"
IN_COMBINED = """
    SELECT epoch, records, x'' FROM sealed
    UNION ALL SELECT applied.epoch, x'', addresses FROM address_box JOIN applied USING (batch)
"""
WRAPPED = "SELECT number, record_secret, address_secret, salt FROM epoch"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What of an epoch unwraps; None: it is not there any more."""

    record: bytes | None = field(repr=False)
    address: bytes | None = field(repr=False)
    salt: bytes | None = field(repr=False)

    @property
    def all(self) -> tuple[bytes, ...]:
        """Return what is there."""
        return tuple(each for each in (self.record, self.address, self.salt) if each)


@dataclass(slots=True)
class Boxes:
    """Every box of each epoch, each once."""

    records: dict[int, set[bytes]] = field(default_factory=dict)
    addresses: dict[int, set[bytes]] = field(default_factory=dict)

    def add(self, rows: Iterable[Any]) -> int:
        """Add what *rows* hold; return how many boxes that were."""
        count = 0
        for epoch, records, addresses in rows:
            for box, into in ((records, self.records), (addresses, self.addresses)):
                if box:
                    into.setdefault(epoch, set()).add(bytes(box))
                    count += 1
        return count

    def of(self, epoch: int) -> set[bytes]:
        """Return all boxes of one epoch, of both kinds."""
        return self.records.get(epoch, set()) | self.addresses.get(epoch, set())


def boxes_in(path: Path, boxes: Boxes) -> int:
    """Add the boxes of a stream or a combined database; return how many it holds."""
    connection = connect_read_only(path)
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if "batch" in tables:
            return boxes.add(connection.execute(IN_A_STREAM))
        return boxes.add(connection.execute(IN_COMBINED)) if "sealed" in tables else 0
    finally:
        connection.close()


def keys_in(path: Path) -> dict[int, Secrets]:
    """Unwrap all that keys.db holds."""
    connection = connect_read_only(path)
    rows = connection.execute(WRAPPED).fetchall()
    connection.close()
    return {row[0]: _unwrapped(*row) for row in rows}


def wrapped_in(path: Path, epoch: int) -> tuple[bytes, ...]:
    """Return what keys.db holds of an epoch, as it lies there."""
    connection = connect_read_only(path)
    row = connection.execute(f"{WRAPPED} WHERE number = ?", (epoch,)).fetchone()
    connection.close()
    return tuple(bytes(each) for each in row[1:] if each)


def keys_in_copy(path: Path) -> dict[int, Secrets]:
    """Unwrap all that a copy of the keys holds."""
    copy = Copy.opened(path.read_bytes(), Vault(MASTER_KEY))
    return {
        each.number: _unwrapped(each.number, each.record_secret, each.address_secret, each.salt)
        for each in copy.epochs
    }


def _unwrapped(number: int, *wrapped: bytes | None) -> Secrets:
    vault, purposes = Vault(MASTER_KEY), (Purpose.RECORD, Purpose.ADDRESS, Purpose.SALT)
    return Secrets(
        *(
            vault.unwrap(purpose, number, each) if each else None
            for purpose, each in zip(purposes, wrapped, strict=True)
        )
    )


def opened_by(boxes: Iterable[bytes], secrets: Iterable[bytes]) -> set[bytes]:
    """Try every secret on every box, whatever either says of itself; return what opens."""
    pairs = [(secret, sodium.crypto_scalarmult_base(secret)) for secret in set(secrets)]
    return {box for box in boxes if any(_opens(box, *pair) for pair in pairs)}


def _opens(box: bytes, secret: bytes, public: bytes) -> bool:
    try:
        sodium.crypto_box_seal_open(box, public, secret)
    except nacl.exceptions.CryptoError:
        return False
    return True


def moments(replica: Path) -> tuple[list[str], list[str]]:
    """Return every transaction and every moment that *replica* can be restored to."""
    done = _litestream("ltx", "-level", "all", "-json", f"file://{replica}")
    files = json.loads(done.stdout or b"[]") or []
    return (
        sorted({each["max_txid"] for each in files}),
        sorted({each["timestamp"] for each in files}),
    )


def restored(replica: Path, out: Path) -> Iterator[Path]:
    """Restore *replica* to each moment that is there."""
    transactions, timestamps = moments(replica)
    wanted = [("-txid", each) for each in transactions]
    wanted += [("-timestamp", each) for each in timestamps]
    out.mkdir(parents=True)
    for number, way in enumerate(wanted):
        target = out / f"{number}.db"
        done = _litestream("restore", *way, "-o", str(target), f"file://{replica}")
        if done.returncode == 0:
            yield target


def _litestream(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(BINARY), *words], capture_output=True, timeout=60, check=False)
