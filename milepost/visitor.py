"""Who came, without saying who: canonical addresses and visitor hashes.

Rules of this file:
- Pure.  An address enters, and only its canonical form or its hash leaves.
"""

import ipaddress
import re
from hashlib import blake2b

from milepost.vocabulary import Salt, VisitorHash

HASH_BYTES = 16

# Most visitors; what this takes ipaddress would return as it is.
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}")
NETWORK_BITS = 64
_HOST_MASK = (1 << (128 - NETWORK_BITS)) - 1


def canonical_address(text: str) -> str | None:
    """Return the form under which *text* counts as one visitor, or None if it is no address.

    IPv4-mapped IPv6 is IPv4; other IPv6 is its /64, since one household has
    many addresses in it; a zone id says nothing and is dropped.
    """
    if _IPV4.fullmatch(text):
        return text
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, NETWORK_BITS), strict=False))


def is_canonical_address(text: str) -> bool:
    """Tell whether *text* is what `canonical_address` makes of some address."""
    if _IPV4.fullmatch(text):
        return True
    network, _, bits = text.partition("/")
    if bits != str(NETWORK_BITS) or "%" in network:
        return False
    try:
        address = ipaddress.IPv6Address(network)
    except ValueError:
        return False
    # Making a network of it would take three times as long, and there may be thousands.
    return not int(address) & _HOST_MASK and str(address) == network


def visitor_hash(salt: Salt, canonical: str) -> VisitorHash:
    """Hash a canonical address under *salt*."""
    return VisitorHash(blake2b(canonical.encode(), key=salt, digest_size=HASH_BYTES).digest())
