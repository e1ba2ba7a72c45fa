"""Which hosts lead to this service: a link that led there could go round in circles.

    go.example        that host, on whatever port
    go.example:8443   that host on that port alone
    *.go.example      every host below it, and not go.example itself

Rules of this file:
- Pure.
- Hosts are compared in canonical form, and as they are written: nothing is looked up.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from milepost.links import PLAIN_ADDRESS, WEB_SCHEMES

DEFAULT_PORTS = ("80", "443")
_NAME = r"(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
_ENTRY = re.compile(rf"(?:{_NAME}|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?:[1-9][0-9]{{0,4}})")


def canonical(authority: str) -> str:
    """Return *authority* as it is compared: small letters, no final dot, no default port.

    Either default port is one, as nobody here knows what a proxy in front has unwrapped.
    """
    name, colon, port = authority.lower().rpartition(":")
    if not colon or port.endswith("]"):  # an IPv6 address has colons of its own
        return authority.lower().rstrip(".")
    name = name.rstrip(".")
    return name if port in {"", *DEFAULT_PORTS} else f"{name}:{port}"


def without_port(name: str) -> str:
    """Return the host in *name*, which is canonical."""
    host, colon, port = name.rpartition(":")
    return host if colon and not port.endswith("]") else name


def leads_to(destination: str) -> str:
    """Return the host that *destination* leads to, canonical; empty for what is not of the web."""
    plain = PLAIN_ADDRESS.fullmatch(destination)
    if plain:
        return canonical(plain[1])
    parts = urlsplit(destination)
    if parts.scheme not in WEB_SCHEMES:
        return ""
    # Browsers take escapes in a host for what they stand for.
    return canonical(unquote(parts.netloc.rpartition("@")[2]))


def spellings(name: str) -> tuple[str, ...]:
    """Return the hosts of links that a visit to *name*, which is canonical, would reach."""
    host = without_port(name)
    if host != name:
        return (name, host)
    return (name, *(f"{name}:{port}" for port in DEFAULT_PORTS))


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """The hosts that are named as this service's own."""

    names: frozenset[str] = frozenset()
    suffixes: frozenset[str] = frozenset()

    @classmethod
    def read(cls, entries: Iterable[str]) -> tuple[Self, tuple[str, ...]]:
        """Return what *entries* say, and those that make no sense."""
        names, suffixes, faults = set(), set(), []
        for entry in entries:
            name = canonical(entry)
            if not _ENTRY.fullmatch(name):
                faults.append(entry)
            elif name.startswith("*."):
                suffixes.add(name[1:])
            else:
                names.add(name)
        return cls(frozenset(names), frozenset(suffixes)), tuple(faults)

    def holds(self, name: str) -> bool:
        """Tell whether *name*, which is canonical, is one of them."""
        host = without_port(name)
        return bool(self.names & {name, host}) or any(map(host.endswith, self.suffixes))
