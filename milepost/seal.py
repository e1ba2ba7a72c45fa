"""Sealing: what an edge writes so that it cannot read it back.

A box is a libsodium sealed box to a public key of the batch's epoch.  The
header stands inside as well and is compared on opening, so that a box cannot be
moved to another batch, stream or epoch.  Records are compressed before sealing.

An address box also carries a MAC under a key that only the writing edge and the
key server can derive from the edge's token: nobody else can make a box that the
key server would answer.

Rules of this file:
- Pure, but for libsodium's own randomness inside a sealed box.
- Nothing secret appears in an error.
"""

import hmac
import threading
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import nacl.bindings as sodium
import nacl.exceptions
import orjson
import zstandard

from milepost.batch import Header, part, take_part
from milepost.errors import RejectedError, UnknownEdgeError
from milepost.record import Body, RawRecord, Record, decode_records, encode_records
from milepost.visitor import is_canonical_address

BOX_OPENED_BYTES_MAX = 1 << 20
COMPRESSION_LEVEL = 3
MAC_BYTES, MAC_KEY_BYTES = 32, 32
TOKEN_ID_BYTES = 8

_OWN = threading.local()


def seal_records(
    header: Header, records: Sequence[Record], public_key: bytes, raw: Sequence[RawRecord] = ()
) -> bytes:
    """Return the record box of a batch."""
    plain = part(header.to_bytes()) + encode_records(records, raw)
    if len(plain) > BOX_OPENED_BYTES_MAX:
        msg = f"a batch of {len(plain)} bytes; at most {BOX_OPENED_BYTES_MAX} may be sealed"
        raise RejectedError(msg)
    packed = _compressor().compress(plain)
    return sodium.crypto_box_seal(packed, public_key)


def _compressor() -> zstandard.ZstdCompressor:
    """Return this thread's compressor: making one costs more than a small batch."""
    found = getattr(_OWN, "compressor", None)
    if found is None:
        found = _OWN.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
    return found


def open_body(header: Header, box: bytes, secret_key: bytes) -> Body:
    """Return all that is in *box*, or refuse one that is not *header*'s."""
    packed = _open(box, secret_key)
    try:
        # The limit given below holds only for a frame that does not tell its own size.
        if zstandard.frame_content_size(packed) > BOX_OPENED_BYTES_MAX:
            msg = f"the record box unpacks to more than {BOX_OPENED_BYTES_MAX} bytes"
            raise RejectedError(msg)
        plain = zstandard.ZstdDecompressor().decompress(
            packed, max_output_size=BOX_OPENED_BYTES_MAX
        )
    except zstandard.ZstdError as error:
        msg = "the record box does not unpack"
        raise RejectedError(msg) from error
    inside, at = take_part(plain, 0)
    _require_same(header, inside)
    body = decode_records(plain[at:])
    if body.count != header.count:
        msg = f"{body.count} records in a batch of {header.count}"
        raise RejectedError(msg)
    return body


def token_id(token: str) -> bytes:
    """Name *token* without telling it, so that the key server finds its MAC key."""
    return blake2b(token.encode(), digest_size=TOKEN_ID_BYTES, person=b"mp-token-id").digest()


def address_mac_key(token: str) -> bytes:
    """Derive the key of the MAC in address boxes from an edge's token."""
    return blake2b(token.encode(), digest_size=MAC_KEY_BYTES, person=b"mp-address-mac").digest()


def seal_addresses(
    header: Header, addresses: Mapping[int, str], public_key: bytes, token: str
) -> bytes:
    """Return the address box: *addresses* by the index of their record in the batch."""
    body = orjson.dumps(sorted(addresses.items()))
    inside = part(header.to_bytes()) + part(token_id(token)) + part(body)
    mac = blake2b(inside, key=address_mac_key(token), digest_size=MAC_BYTES).digest()
    return sodium.crypto_box_seal(inside + mac, public_key)


def open_addresses(
    header: Header, box: bytes, secret_key: bytes, mac_keys: Mapping[bytes, bytes]
) -> dict[int, str]:
    """Return the addresses in *box*; *mac_keys* holds a MAC key per known token id."""
    plain = _open(box, secret_key)
    inside, mac = plain[:-MAC_BYTES], plain[-MAC_BYTES:]
    told, at = take_part(inside, 0)
    name, at = take_part(inside, at)
    body, _ = take_part(inside, at)
    key = mac_keys.get(name)
    if key is None:
        msg = "the address box is from an edge that is not known here"
        raise UnknownEdgeError(msg)
    expected = blake2b(inside, key=key, digest_size=MAC_BYTES).digest()
    if not hmac.compare_digest(mac, expected):
        msg = "the address box was not made by the edge it names"
        raise RejectedError(msg)
    _require_same(header, told)
    return _addresses(body, header.count)


def _addresses(body: bytes, count: int) -> dict[int, str]:
    """Read what stands in an address box; whoever has a token is not believed for that alone."""
    try:
        found: dict[Any, Any] = dict(orjson.loads(body))
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        msg = "the address box holds no list of addresses"
        raise RejectedError(msg) from error
    for index, address in found.items():
        if type(index) is not int or not 0 <= index < count:
            msg = f"the address box names a record that is not among the batch's {count}"
            raise RejectedError(msg)
        if not isinstance(address, str) or not is_canonical_address(address):
            msg = f"what the address box holds for record {index} is no canonical address"
            raise RejectedError(msg)
    return found


def _open(box: bytes, secret_key: bytes) -> bytes:
    try:
        public_key = sodium.crypto_scalarmult_base(secret_key)
        return sodium.crypto_box_seal_open(box, public_key, secret_key)
    except (nacl.exceptions.CryptoError, nacl.exceptions.TypeError) as error:
        msg = "the box does not open with this epoch's key"
        raise RejectedError(msg) from error


def _require_same(header: Header, inside: bytes) -> None:
    if header.to_bytes() != inside:
        msg = "the box belongs to another batch"
        raise RejectedError(msg)
