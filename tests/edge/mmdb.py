"""Writes small files in the MaxMind DB format, as the tests of places need them.

The format: a binary tree over the bits of an address, 16 zero bytes, the data
that its leaves point to, a marker, and a map that says how to read the rest.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARKER = b"\xab\xcd\xefMaxMind.com"
SEPARATOR = bytes(16)
RECORD_BYTES = 3
IPV6_BITS = 128

TEXT, UNSIGNED_16, UNSIGNED_32, MAP = 2, 5, 6, 7
SIGNED_32, UNSIGNED_64, LIST, BOOLEAN = 8, 9, 11, 14


@dataclass(frozen=True, slots=True)
class Sized:
    """A number of a type of its own; a plain int is an unsigned one of 32 bits, or of 64."""

    kind: int
    value: int


def write_mmdb(places: Mapping[str, Any], *, ip_version: int = 6, kind: str = "Test") -> bytes:
    """Return a file that answers each network of *places* with its value; they do not overlap."""
    nodes: list[list[int | None]] = [[None, None]]  # a leaf is -1 - its offset in the data
    data = b""
    for network, value in places.items():
        _insert(nodes, _bits(ipaddress.ip_network(network), ip_version), -1 - len(data))
        data += encode(value)
    tree = b"".join(_record(side, len(nodes)) for node in nodes for side in node)
    about = {
        "binary_format_major_version": Sized(UNSIGNED_16, 2),
        "binary_format_minor_version": Sized(UNSIGNED_16, 0),
        "build_epoch": Sized(UNSIGNED_64, 1_763_640_000),
        "database_type": kind,
        "description": {"en": "made by a test"},
        "ip_version": Sized(UNSIGNED_16, ip_version),
        "languages": ["en"],
        "node_count": len(nodes),
        "record_size": Sized(UNSIGNED_16, RECORD_BYTES * 8),
    }
    return tree + SEPARATOR + data + MARKER + encode(about)


def encode(value: Any) -> bytes:
    """Return *value* as it stands in the data."""
    match value:
        case bool():
            return _control(BOOLEAN, int(value))
        case Sized():
            return _number(value.kind, value.value)
        case int():
            return _number(UNSIGNED_32 if value < 1 << 32 else UNSIGNED_64, value)
        case str():
            text = value.encode()
            return _control(TEXT, len(text)) + text
        case list():
            return _control(LIST, len(value)) + b"".join(map(encode, value))
        case dict():
            inner = b"".join(encode(key) + encode(each) for key, each in value.items())
            return _control(MAP, len(value)) + inner
    msg = f"no type for {value!r}"
    raise AssertionError(msg)


def _number(kind: int, value: int) -> bytes:
    size = (value.bit_length() + 7) // 8 if value >= 0 else 4
    return _control(kind, size) + value.to_bytes(size, "big", signed=value < 0)


def _control(kind: int, size: int) -> bytes:
    """Return type and size; what does not fit into one byte stands in those behind it."""
    first, more = (kind, b"") if kind < SIGNED_32 else (0, bytes([kind - 7]))
    if size < 29:
        return bytes([first << 5 | size]) + more
    if size < 285:
        return bytes([first << 5 | 29]) + more + bytes([size - 29])
    return bytes([first << 5 | 30]) + more + (size - 285).to_bytes(2, "big")


def _bits(network: ipaddress.IPv4Network | ipaddress.IPv6Network, ip_version: int) -> str:
    """Return the way through the tree; in one for IPv6, IPv4 begins behind 96 zeros."""
    text = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
    zeros = IPV6_BITS - network.max_prefixlen if ip_version == 6 else 0
    return "0" * zeros + text


def _insert(nodes: list[list[int | None]], bits: str, leaf: int) -> None:
    node = 0
    for bit in bits[:-1]:
        found = nodes[node][int(bit)]
        if found is None:
            nodes.append([None, None])
            found = nodes[node][int(bit)] = len(nodes) - 1
        assert found >= 0, "networks overlap"
        node = found
    assert nodes[node][int(bits[-1])] is None, "networks overlap"
    nodes[node][int(bits[-1])] = leaf


def _record(side: int | None, count: int) -> bytes:
    number = count if side is None else side if side >= 0 else count + len(SEPARATOR) - 1 - side
    return number.to_bytes(RECORD_BYTES, "big")
