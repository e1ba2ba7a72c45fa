"""A link as the registry keeps it: made, revised, shown.

Rules of this file:
- Pure.  The moment and the noise of an id are given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from milepost.errors import RejectedError
from milepost.links import Link, link_from
from milepost.vocabulary import LinkId, Millis

ID_CHARS = 10
# 32 letters and digits, none of which is easily read as another.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A link, how often it was changed, and when."""

    link: Link
    version: int
    created_ms: Millis
    updated_ms: Millis

    def to_json(self) -> dict[str, Any]:
        """Return what the API answers."""
        return self.link.to_rule() | {
            "version": self.version,
            "created_ms": self.created_ms,
            "updated_ms": self.updated_ms,
        }


def link_id_from(noise: bytes) -> LinkId:
    """Spell *noise* as an id.  256 is a multiple of 32, so no letter is likelier than another."""
    return LinkId("".join(ALPHABET[byte % len(ALPHABET)] for byte in noise))


def fields_of(body: Any) -> dict[str, Any]:
    """Return the fields that a caller sent, or refuse."""
    if not isinstance(body, dict):
        msg = "the body: want an object with a link's fields"
        raise RejectedError(msg)
    if "id" in body:
        msg = "id: the registry chooses it; leave it out"
        raise RejectedError(msg)
    return body


def new_entry(fields: Mapping[str, Any], link_id: LinkId, now: Millis) -> Entry:
    """Return a new link of these *fields*, or refuse naming the one that is wrong."""
    return Entry(link=link_from(fields, link_id), version=1, created_ms=now, updated_ms=now)


def revised(entry: Entry, fields: dict[str, Any], now: Millis) -> Entry:
    """Return *entry* with *fields* changed; *entry* itself when that changes nothing."""
    link = link_from(entry.link.to_rule() | fields, entry.link.id)
    if link == entry.link:
        return entry
    return replace(entry, link=link, version=entry.version + 1, updated_ms=now)
