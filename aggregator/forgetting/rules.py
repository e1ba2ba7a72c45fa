"""Erase rules: one visitor, link or host of which nothing is kept, now and later.

Rules of this file:
- Pure.
- A rule is the same whenever it was made, and whoever made it: what counts is what it names.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from milepost.batch import hex_bytes
from milepost.errors import RejectedError
from milepost.record import Record
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import Millis

VISITOR, LINK, HOST = KINDS = ("visitor", "link", "host")
VALUE_BYTES_MAX = 1_024
NAME_BYTES = 16
WANTED = "want one of visitor (32 hex digits), link (an id) and host (a name)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a rule names."""

    kind: str
    value: bytes

    @property
    def told(self) -> str:
        """Return the value as people write it."""
        return self.value.hex() if self.kind == VISITOR else self.value.decode()

    @property
    def as_text(self) -> str:
        """Return the value as it stands in a record that could not be encoded."""
        return repr(self.value) if self.kind == VISITOR else self.told

    @property
    def name(self) -> str:
        """Return a name for a file that does not tell what the rule is about."""
        told = f"{self.kind}:".encode() + self.value
        return hashlib.blake2b(told, digest_size=NAME_BYTES).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it names, when it was made, and with whose token."""

    target: Target
    at_ms: Millis
    who: str

    def to_json(self) -> dict[str, Any]:
        """Return the rule as it stands beside the database."""
        return {self.target.kind: self.target.told, "at_ms": self.at_ms, "who": self.who}


class Erased(NamedTuple):
    """Everything that rules name."""

    visitors: frozenset[bytes]
    links: frozenset[str]
    hosts: frozenset[str]

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return any(map(len, self))

    def covers(self, record: Record) -> bool:
        """Tell whether *record* must not be kept."""
        return (
            record.visitor in self.visitors
            or record.link in self.links
            or record.host in self.hosts
        )

    def covers_text(self, fields: Mapping[str, str]) -> bool:
        """Tell whether a record that could not be encoded, of which there is text, is one."""
        return (
            fields.get(LINK) in self.links
            or fields.get(HOST) in self.hosts
            or fields.get(VISITOR, "") in map(repr, self.visitors)
        )


NOTHING = Erased(frozenset(), frozenset(), frozenset())


def erased_by(targets: Iterable[Target]) -> Erased:
    """Return what *targets* come to."""
    listed = list(targets)
    return Erased(
        frozenset(each.value for each in listed if each.kind == VISITOR),
        frozenset(each.told for each in listed if each.kind == LINK),
        frozenset(each.told for each in listed if each.kind == HOST),
    )


def read_target(told: Any) -> Target:
    """Read what is to be erased, or refuse."""
    try:
        (kind,) = set(told) & set(KINDS)
        value = told[kind]
    except (TypeError, ValueError) as error:
        raise RejectedError(WANTED) from error
    if kind == VISITOR:
        return Target(kind=kind, value=hex_bytes(value, HASH_BYTES, kind))
    if not isinstance(value, str) or not value:
        raise RejectedError(WANTED)
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise RejectedError(WANTED) from error
    if len(encoded) > VALUE_BYTES_MAX:
        msg = f"{kind}: want at most {VALUE_BYTES_MAX} bytes"
        raise RejectedError(msg)
    return Target(kind=kind, value=encoded)


def read_rule(told: Any) -> Rule:
    """Read a rule as it stands beside the database, or refuse."""
    target = read_target(told)
    at_ms, who = told.get("at_ms"), told.get("who")
    if not isinstance(at_ms, int) or not isinstance(who, str):
        msg = "a rule has a moment and the name of a token"
        raise RejectedError(msg)
    return Rule(target=target, at_ms=Millis(at_ms), who=who)
