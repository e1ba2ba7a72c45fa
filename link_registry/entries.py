"""A link as the registry keeps it: made, revised, shown.

Rules of this file:
- Pure.  The moment and the noise of an id are given.
- What edges need is the `Link`; what stands beside it here stays in the registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from link_registry.annotations import ANNOTATIONS, annotations_from
from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.links import FIELDS, Link, link_from
from milepost.vocabulary import LinkId, Millis

ID_CHARS = 10
# 32 letters and digits, none of which is easily read as another.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_SPELLED = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
SETTABLE = tuple(name for name in (*FIELDS, *ANNOTATIONS) if name != "id")
_SETTABLE = frozenset(SETTABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A link, what people wrote on it, how often it was changed, and when."""

    link: Link
    version: int
    created_ms: Millis
    updated_ms: Millis
    tags: tuple[str, ...] = ()
    note: str | None = None
    click_limit: int | None = None
    clicks: int = 0  # as far as counted; rises without a new version

    def fields(self) -> dict[str, Any]:
        """Return what people can set."""
        told = self.link.to_rule()
        del told["id"]
        return told | {"tags": list(self.tags), "note": self.note, "click_limit": self.click_limit}

    def to_json(self) -> dict[str, Any]:
        """Return what the API answers."""
        return {
            "id": self.link.id,
            **self.fields(),
            "clicks": self.clicks,
            "version": self.version,
            "created_ms": self.created_ms,
            "updated_ms": self.updated_ms,
        }


def link_id_from(noise: bytes) -> LinkId:
    """Spell *noise* as an id.  256 is a multiple of 32, so no letter is likelier than another."""
    return LinkId(noise.translate(_SPELLED).decode())


def fields_of(body: Any) -> dict[str, Any]:
    """Return the fields that a caller sent, or refuse."""
    if not isinstance(body, dict):
        raise FieldError(
            field="the body", accepted="an object with a link's fields", got=shape_of(body)
        )
    if "id" in body:
        raise FieldError(
            field="id", accepted="nothing: the registry chooses it", got=shape_of(body["id"])
        )
    if not body.keys() <= _SETTABLE:
        unknown = sorted(set(body).difference(SETTABLE))
        raise FieldError(
            field=unknown[0][:40], accepted=f"one of {', '.join(SETTABLE)}", got="no such field"
        )
    return body


def new_entry(fields: Mapping[str, Any], link_id: LinkId, now: Millis) -> Entry:
    """Return a new link of these *fields*, or refuse naming the one that is wrong."""
    link = link_from(_of_link(fields), link_id)
    _refuse_late_rules(link)
    return Entry(
        link=link,
        version=1,
        created_ms=now,
        updated_ms=now,
        **annotations_from(fields),
    )


def revised(entry: Entry, fields: Mapping[str, Any], now: Millis) -> Entry:
    """Return *entry* with *fields* changed; *entry* itself when that changes nothing."""
    link = link_from(entry.link.to_rule() | _of_link(fields), entry.link.id)
    if (link.rules, link.expires_ms) != (entry.link.rules, entry.link.expires_ms):
        _refuse_late_rules(link)
    return _counted(entry, replace(entry, link=link, **annotations_from(fields)), now)


def relinked(entry: Entry, link: Link, now: Millis) -> Entry:
    """Return *entry* with *link* for what edges are told, where nobody is there to be refused."""
    return _counted(entry, replace(entry, link=link), now)


def differences(old: Entry | None, new: Entry | None) -> list[dict[str, Any]]:
    """Return what is in *new* instead of *old*, field by field; None is a link that is not."""
    before = old.fields() if old else {}
    after = new.fields() if new else {}
    if not before:
        return [
            {"field": name, "before": None, "after": value}
            for name, value in after.items()
            if value is not None
        ]
    return [
        {"field": name, "before": before.get(name), "after": after.get(name)}
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def _counted(old: Entry, new: Entry, now: Millis) -> Entry:
    if new == old:
        return old
    return replace(new, version=old.version + 1, updated_ms=now)


def _refuse_late_rules(link: Link) -> None:
    """Refuse a rule that begins when the link has ended; whoever wrote it meant something else.

    Such a link is valid all the same: the end of a grant may come before that of the link.
    """
    ends = link.expires_ms
    for index, rule in enumerate(link.rules):
        if ends is not None and rule.start_ms is not None and rule.start_ms >= ends:
            accepted = "a moment before the link's expires_ms"
            field = f"rules[{index}].when.start_ms"
            raise FieldError(field=field, accepted=accepted, got="one that is not")


def _of_link(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ANNOTATIONS}
