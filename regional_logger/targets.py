"""Hosts in lists: which are this service, which may be redirected to, and which may not.

    example.com       that host, on whatever port
    *.example.com     every host below it, and not example.com itself

Rules of this file:
- Pure.
- Hosts are compared in canonical form, and as they are written: nothing is looked up.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

HOST_CHARS_MAX = 253
SHOWN_CHARS_MAX = 80

_NAME = r"(?!-)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?<!-)"
_HOST = re.compile(_NAME)
_HOST_AND_PORT = re.compile(rf"{_NAME}(?::[1-9][0-9]{{0,4}})?")
_DEFAULT_PORTS = frozenset({"", "80", "443"})

HostTest = Callable[[str], bool]


def canonical(authority: str) -> str:
    """Return *authority* as it is compared: small letters, no final dot, no default port.

    Either default port is one, as nobody here knows what a proxy in front has unwrapped.
    """
    text = authority.lower()
    if ":" in text:
        name, _, port = text.rpartition(":")
        name = name.rstrip(".")
        return name if port in _DEFAULT_PORTS else f"{name}:{port}"
    return text.rstrip(".")


def without_port(name: str) -> str:
    """Return the host in *name*, which is canonical."""
    return name.rpartition(":")[0] if ":" in name else name


def nobody(_name: str) -> bool:
    """Say no."""
    return False


@dataclass(frozen=True, slots=True)
class OwnHosts:
    """The hosts that lead to this service: those that are named, and those of links.

    One without a port is meant on every port.
    """

    named: frozenset[str]
    of_links: HostTest

    def holds(self, name: str) -> bool:
        """Tell whether *name*, which is canonical, is one of them."""
        if name in self.named or self.of_links(name):
            return True
        if ":" not in name:
            return False
        bare = without_port(name)
        return bare in self.named or self.of_links(bare)


@dataclass(frozen=True, slots=True)
class HostList:
    """Hosts, and suffixes that stand for every host below them."""

    names: frozenset[str] = frozenset()
    suffixes: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.names) + len(self.suffixes)

    def __or__(self, other: "HostList") -> "HostList":
        return HostList(self.names | other.names, self.suffixes | other.suffixes)

    def holds(self, name: str) -> bool:
        """Tell whether *name*, which is canonical, is in the list, on whatever port."""
        host = without_port(name)
        if host in self.names:
            return True
        if not self.suffixes or len(host) > HOST_CHARS_MAX:
            return False
        _, dot, suffix = host.partition(".")
        while dot:
            if suffix in self.suffixes:
                return True
            _, dot, suffix = suffix.partition(".")
        return False


class ReadList(NamedTuple):
    """A list as it was read, and what in it makes no sense."""

    hosts: HostList
    faults: tuple[str, ...]


def read_hosts(entries: Iterable[str]) -> ReadList:
    """Read *entries*, each a host or a `*.suffix`."""
    return _read((repr(entry[:SHOWN_CHARS_MAX]), entry) for entry in entries)


def read_lines(text: str) -> ReadList:
    """Read a file: one entry a line, and what follows a `#` is for people."""
    numbered = enumerate(text.split("\n"), start=1)
    lines = ((number, line.partition("#")[0].strip()) for number, line in numbered)
    return _read(
        (f"line {number}: {line[:SHOWN_CHARS_MAX]!r}", line) for number, line in lines if line
    )


def own_host(entry: str) -> str | None:
    """Return an entry of the setting HOSTS in canonical form, or None when it is no host."""
    name = canonical(entry)
    return name if _HOST_AND_PORT.fullmatch(name) else None


def _read(entries: Iterable[tuple[str, str]]) -> ReadList:
    """Read pairs of what an entry is called in a fault, and the entry."""
    names, suffixes, faults = set(), set(), []
    for called, entry in entries:
        text = entry.lower().rstrip(".")
        host = text.removeprefix("*.")
        if len(host) > HOST_CHARS_MAX or not _HOST.fullmatch(host):
            faults.append(called)
        elif host == text:
            names.add(host)
        else:
            suffixes.add(host)
    return ReadList(HostList(frozenset(names), frozenset(suffixes)), tuple(faults))
