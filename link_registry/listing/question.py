"""Which links a list is about, and in which order: read from the query of a call.

Rules of this file:
- Pure.
"""

import re
from dataclasses import dataclass, fields
from typing import Final

from multidict import MultiMapping

from link_registry.narrowing import refuse_host
from link_registry.own_hosts import canonical
from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.links import HOST_PATTERN, PATH_CHARS_MAX
from milepost.tags import tag_from
from milepost.tokens import Principal

# What a list can be sorted by, and the type of its values.
SORTS: Final[dict[str, type]] = {
    "created": int,
    "updated": int,
    "host": str,
    "path": str,
    "destination": str,
}
DIRECTIONS = ("asc", "desc")
KINDS = ("literal", "pattern")
YES_OR_NO = ("true", "false")
SEARCH_CHARS_MAX, HOST_CHARS_MAX = 100, 260
PREFIX_PATTERN = r"/[\x21-\x7e]*"
SEARCH_PATTERN = r"[^\u0000-\u001f\u007f-\u009f]+"
DESTINATION_HOST_PATTERN = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])\.?(?::[0-9]{1,5})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The links that everything here holds for; None and empty: whichever."""

    host: str | None = None
    path_prefix: str | None = None
    tags: tuple[str, ...] = ()
    enabled: bool | None = None
    destination_host: str | None = None
    expired: bool | None = None
    pattern: bool | None = None
    search: str | None = None
    sort: str = "created"
    descending: bool = False
    seen_hosts: tuple[str, ...] = ()  # the rest is not shown to who asks; none: all is
    seen_tags: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the question in words that are another's if and only if it is another."""
        return repr([getattr(self, each.name) for each in fields(self)])

    def reads_all(self) -> bool:
        """Tell whether it sorts out links that only reading them tells from others."""
        asked = (self.enabled, self.expired, self.pattern, self.search)
        return bool(self.tags or self.seen_tags) or any(each is not None for each in asked)

    def place_kinds(self) -> tuple[type, type]:
        """Return the types of the place at which a page of it ends."""
        return SORTS[self.sort], str


def question_of(query: MultiMapping[str], who: Principal) -> Question:
    """Return what *query* asks of the links that *who* sees, or refuse naming the parameter."""
    host = _matching(query, "host", HOST_PATTERN, HOST_CHARS_MAX, "a host name, or *")
    leads = _matching(
        *(query, "destination_host", DESTINATION_HOST_PATTERN, HOST_CHARS_MAX),
        "a host name, with a port or without",
    )
    kind = _one_of(query, "kind", KINDS)
    host = None if host is None else host.lower().rstrip(".")
    if host is not None:
        refuse_host(who, host)
    return Question(
        host=host,
        path_prefix=_matching(
            *(query, "path_prefix", PREFIX_PATTERN, PATH_CHARS_MAX), "the beginning of a path"
        ),
        tags=_tags(query),
        enabled=_yes_or_no(query, "enabled"),
        destination_host=None if leads is None else canonical(leads),
        expired=_yes_or_no(query, "expired"),
        pattern=None if kind is None else kind == "pattern",
        search=_matching(
            *(query, "q", SEARCH_PATTERN, SEARCH_CHARS_MAX),
            f"a text of 1 to {SEARCH_CHARS_MAX} characters",
        ),
        sort=_one_of(query, "sort", tuple(SORTS)) or "created",
        descending=_one_of(query, "direction", DIRECTIONS) == "desc",
        seen_hosts=tuple(sorted(who.hosts)),
        seen_tags=tuple(sorted(who.tags)),
    )


def _matching(
    query: MultiMapping[str], name: str, pattern: str, chars_max: int, accepted: str
) -> str | None:
    value = query.get(name)
    if value is None or (len(value) <= chars_max and re.fullmatch(pattern, value)):
        return value
    raise FieldError(field=name, accepted=accepted, got=shape_of(value))


def _one_of(query: MultiMapping[str], name: str, known: tuple[str, ...]) -> str | None:
    value = query.get(name)
    if value is None or value in known:
        return value
    raise FieldError(field=name, accepted=f"one of {', '.join(known)}", got=shape_of(value))


def _yes_or_no(query: MultiMapping[str], name: str) -> bool | None:
    value = _one_of(query, name, YES_OR_NO)
    return None if value is None else value == "true"


def _tags(query: MultiMapping[str]) -> tuple[str, ...]:
    return tuple(sorted({tag_from(each, "tag") for each in query.getall("tag", [])}))
