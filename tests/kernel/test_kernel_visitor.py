"""Addresses and visitor hashes."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.visitor import canonical_address, is_canonical_address, visitor_hash
from milepost.vocabulary import Salt


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:C000:0207", "192.0.2.7"),
        ("::ffff:192.0.2.7%eth0", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%25en1", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_canonical_address(text: str, canonical: str) -> None:
    """However an address is written, one household is one visitor."""
    assert canonical_address(text) == canonical


@pytest.mark.parametrize(
    "text", ["", " ", "unknown", "192.0.2", "192.0.2.07", "192.0.2.7:80", "[::1]", "%eth0", "1"]
)
def test_what_is_no_address(text: str) -> None:
    """A proxy's header may hold anything; it is then as if there were none."""
    assert canonical_address(text) is None


@given(st.ip_addresses())
def test_a_canonical_address_is_known_as_one(address: ipaddress.IPv4Address) -> None:
    """And the one that it was made of is not, unless it is the same."""
    canonical = canonical_address(str(address))

    assert canonical is not None
    assert is_canonical_address(canonical)
    assert is_canonical_address(str(address)) == (str(address) == canonical)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/64", "192.0.2.07", "192.0.2.7/64", "192.0.2.7%eth0", "2001:db8::1/64"),
        *("2001:DB8::/64", "2001:db8::/48", "2001:db8::", "::ffff:192.0.2.7/64", "fe80::%1/64"),
    ],
)
def test_what_is_no_canonical_address(text: str) -> None:
    """Nobody is counted under it, so no hash of it is ever wanted."""
    assert not is_canonical_address(text)


@given(st.text(max_size=50))
def test_any_text_is_answered(text: str) -> None:
    """The header is the visitor's to choose: nothing it holds is an error."""
    found = canonical_address(text)

    assert found is None or canonical_address(found.removesuffix("/64")) == found


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_address(address: ipaddress.IPv4Address) -> None:
    """Which family a socket speaks says nothing about who came."""
    assert canonical_address(f"::ffff:{address}") == canonical_address(str(address))


@given(st.ip_addresses(v=6), st.integers(0, (1 << 64) - 1))
def test_a_household_has_one_form(address: ipaddress.IPv6Address, low: int) -> None:
    """The lower half of an IPv6 address changes by the hour."""
    neighbour = ipaddress.IPv6Address(int(address) >> 64 << 64 | low)

    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert canonical_address(str(neighbour)) == canonical_address(str(address))


def test_a_hash_belongs_to_its_salt() -> None:
    """One visitor cannot be followed from one epoch into the next."""
    first, second = (visitor_hash(Salt(salt * 32), "192.0.2.7") for salt in (b"a", b"b"))

    assert first != second
    assert first == visitor_hash(Salt(b"a" * 32), "192.0.2.7")
    assert len(first) == 16


def test_visitors_of_one_epoch_differ() -> None:
    """The hash is what counts them."""
    salt = Salt(b"a" * 32)

    assert visitor_hash(salt, "192.0.2.7") != visitor_hash(salt, "192.0.2.8")
