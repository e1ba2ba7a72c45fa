"""Sealing and opening."""

from dataclasses import replace
from hashlib import blake2b
from typing import Any

import nacl.bindings as sodium
import orjson
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from milepost.batch import part
from milepost.errors import RejectedError, UnknownEdgeError
from milepost.record import encode_records
from milepost.seal import (
    BOX_OPENED_BYTES_MAX,
    address_mac_key,
    open_addresses,
    open_body,
    seal_addresses,
    seal_records,
    token_id,
)
from milepost.visitor import canonical_address
from milepost.vocabulary import BatchId, Epoch, Seq, StreamId
from tests.kernel.kernel_values import (
    EDGE_TOKEN,
    PUBLIC_KEY,
    SECRET_KEY,
    a_header,
    a_record,
    ids,
)

_, OTHER_KEY = sodium.crypto_box_seed_keypair(b"o" * 32)
HEADER = a_header()
ADDRESSES = {0: "192.0.2.7", 3: "2001:db8::/64"}
MAC_KEYS = {token_id(EDGE_TOKEN): address_mac_key(EDGE_TOKEN)}


def sealed(plain: bytes) -> bytes:
    """Seal *plain* as a stranger with the public key could."""
    return sodium.crypto_box_seal(zstandard.ZstdCompressor().compress(plain), PUBLIC_KEY)


def test_records_come_back_to_the_holder_of_the_key() -> None:
    """What was sealed is what is opened."""
    box = seal_records(HEADER, [a_record(visitor=b"v" * 16)], PUBLIC_KEY)

    assert open_body(HEADER, box, SECRET_KEY).records == (a_record(visitor=b"v" * 16),)


canonical = st.ip_addresses().map(str).map(canonical_address).map(str)


@given(st.dictionaries(st.integers(0, 999), canonical, max_size=5))
def test_addresses_come_back_to_the_holder_of_the_key(addresses: dict[int, str]) -> None:
    """Each under the index of its record."""
    header = a_header(count=1_000)
    box = seal_addresses(header, addresses, PUBLIC_KEY, EDGE_TOKEN)

    assert open_addresses(header, box, SECRET_KEY, MAC_KEYS) == addresses


places = st.fixed_dictionaries(
    {},
    optional={
        "stream": ids.map(StreamId),
        "batch": ids.map(BatchId),
        "epoch": st.integers(1, 9).map(Epoch),
        "seq": st.integers(1, 9).map(Seq),
    },
)


@given(places)
def test_an_address_box_answers_for_its_own_batch_alone(changes: dict[str, Any]) -> None:
    """Moved to another stream, batch, epoch or seq, or to all of them, it says nothing."""
    home = a_header(count=4)
    moved = replace(home, **changes)
    box = seal_addresses(home, ADDRESSES, PUBLIC_KEY, EDGE_TOKEN)
    assume(moved != home)

    with pytest.raises(RejectedError, match="belongs to another batch"):
        open_addresses(moved, box, SECRET_KEY, MAC_KEYS)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "no list"),
        (b"7", "no list"),
        (b"[7]", "no list"),
        (b'[[[], "192.0.2.7"]]', "no list"),
        (b'[[4, "192.0.2.7"]]', "not among the batch's 4"),
        (b'[[-1, "192.0.2.7"]]', "not among the batch's 4"),
        (b'[["0", "192.0.2.7"]]', "not among the batch's 4"),
        (b'[[true, "192.0.2.7"]]', "not among the batch's 4"),
        (b'[[0, "192.0.2.007"]]', "no canonical address"),
        (b'[[0, "2001:db8::1"]]', "no canonical address"),
        (b'[[0, "elsewhere"]]', "no canonical address"),
        (b"[[0, 7]]", "no canonical address"),
    ],
)
def test_what_an_edge_sealed_is_checked(body: bytes, text: str) -> None:
    """A token makes nobody right; and what was there instead of an address is not repeated."""
    header = a_header(count=4)
    inside = part(header.to_bytes()) + part(token_id(EDGE_TOKEN)) + part(body)
    mac = blake2b(inside, key=address_mac_key(EDGE_TOKEN), digest_size=32).digest()
    box = sodium.crypto_box_seal(inside + mac, PUBLIC_KEY)

    with pytest.raises(RejectedError, match=text) as caught:
        open_addresses(header, box, SECRET_KEY, MAC_KEYS)

    assert "192.0.2" not in str(caught.value)


def test_a_box_shows_nothing_of_what_is_inside() -> None:
    """Neither an address, nor the token of the edge, nor a target."""
    record_box = seal_records(HEADER, [a_record()], PUBLIC_KEY)
    address_box = seal_addresses(HEADER, ADDRESSES, PUBLIC_KEY, EDGE_TOKEN)

    assert b"example" not in record_box
    assert b"192.0.2.7" not in address_box
    assert EDGE_TOKEN.encode() not in address_box


@pytest.mark.parametrize(
    "other",
    [
        a_header(2),
        a_header(epoch=8),
        a_header(stream=b"o" * 16),
        a_header(tally="[[0,1,0,0,0]]"),
        a_header(count=2),
    ],
)
def test_a_box_cannot_be_moved(other: object) -> None:
    """The header stands inside too: a box opens under its own and no other."""
    record_box = seal_records(HEADER, [a_record()], PUBLIC_KEY)
    address_box = seal_addresses(HEADER, ADDRESSES, PUBLIC_KEY, EDGE_TOKEN)
    assert isinstance(other, type(HEADER))

    with pytest.raises(RejectedError, match="belongs to another batch"):
        open_body(other, record_box, SECRET_KEY)
    with pytest.raises(RejectedError, match="belongs to another batch"):
        open_addresses(other, address_box, SECRET_KEY, MAC_KEYS)


def test_another_key_opens_nothing() -> None:
    """A destroyed key is as good as a wrong one."""
    record_box = seal_records(HEADER, [a_record()], PUBLIC_KEY)
    address_box = seal_addresses(HEADER, ADDRESSES, PUBLIC_KEY, EDGE_TOKEN)

    with pytest.raises(RejectedError, match="does not open with this epoch's key"):
        open_body(HEADER, record_box, OTHER_KEY)
    with pytest.raises(RejectedError, match="does not open with this epoch's key"):
        open_addresses(HEADER, address_box, OTHER_KEY, MAC_KEYS)


@given(st.binary(max_size=100))
def test_bytes_that_are_no_box_are_refused(box: bytes) -> None:
    """Too short, too long, or noise."""
    with pytest.raises(RejectedError, match="does not open"):
        open_body(HEADER, box, SECRET_KEY)
    with pytest.raises(RejectedError, match="does not open"):
        open_addresses(HEADER, box, SECRET_KEY, MAC_KEYS)


@given(st.integers(0, 1_000), st.integers(1, 255))
def test_a_damaged_box_is_refused(at: int, flip: int) -> None:
    """One flipped bit anywhere is enough."""
    box = bytearray(seal_records(HEADER, [a_record()], PUBLIC_KEY))
    box[at % len(box)] ^= flip

    with pytest.raises(RejectedError):
        open_body(HEADER, bytes(box), SECRET_KEY)


@pytest.mark.parametrize("tells_size", [True, False])
def test_a_small_box_cannot_fill_the_memory(tells_size: bool) -> None:  # noqa: FBT001
    """A box of a kilobyte that unpacks to gigabytes is refused before it is unpacked."""
    compressor = zstandard.ZstdCompressor(write_content_size=tells_size)
    bomb = compressor.compress(bytes(2 * BOX_OPENED_BYTES_MAX))
    box = sodium.crypto_box_seal(bomb, PUBLIC_KEY)

    with pytest.raises(RejectedError, match="unpack"):
        open_body(HEADER, box, SECRET_KEY)


def test_more_than_a_box_may_hold_is_not_sealed() -> None:
    """Nobody could open it."""
    with pytest.raises(RejectedError, match="at most 1048576 may be sealed"):
        seal_records(HEADER, [a_record(path="/" * BOX_OPENED_BYTES_MAX)], PUBLIC_KEY)


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        (b"", "cut off"),
        (b"\xff\xff\xff\xff", "cut off"),
        (part(HEADER.to_bytes()), "not a body"),
        (part(HEADER.to_bytes()) + encode_records([]), "0 records in a batch of 1"),
    ],
)
def test_a_box_that_was_sealed_by_a_stranger_is_checked(plain: bytes, text: str) -> None:
    """Everybody has the public key, so what is inside proves nothing by itself."""
    with pytest.raises(RejectedError, match=text):
        open_body(HEADER, sealed(plain), SECRET_KEY)


def test_a_box_that_does_not_unpack_is_refused() -> None:
    """The inside need not even be compressed."""
    with pytest.raises(RejectedError, match="does not unpack"):
        open_body(HEADER, sodium.crypto_box_seal(b"noise", PUBLIC_KEY), SECRET_KEY)


def test_a_forged_address_box_is_refused() -> None:
    """Without the edge's token nobody can make a box that would be answered."""
    inside = part(HEADER.to_bytes()) + part(token_id(EDGE_TOKEN)) + part(orjson.dumps([]))
    mac = blake2b(inside, key=address_mac_key("milepost_guess"), digest_size=32).digest()
    box = sodium.crypto_box_seal(inside + mac, PUBLIC_KEY)

    with pytest.raises(RejectedError, match="not made by the edge it names"):
        open_addresses(HEADER, box, SECRET_KEY, MAC_KEYS)


def test_an_address_box_of_an_edge_that_is_not_known_is_refused() -> None:
    """A withdrawn token takes its boxes with it."""
    box = seal_addresses(HEADER, ADDRESSES, PUBLIC_KEY, EDGE_TOKEN)

    with pytest.raises(UnknownEdgeError, match="an edge that is not known here"):
        open_addresses(HEADER, box, SECRET_KEY, {})


def test_the_name_of_a_token_is_not_its_mac_key() -> None:
    """Both come from the token, and neither leads to the other."""
    assert token_id(EDGE_TOKEN) != address_mac_key(EDGE_TOKEN)[:8]
