"""The grammar of prefix redirects: `/e/<target>` and `/e,<arguments>/<target>`.

    /e/example.com/a.mp3                 -> https://example.com/a.mp3
    /e,pg=<guid>/http://example.com/a    -> http://example.com/a
    /e/pg=<guid>/example.com/a           -> https://example.com/a, a slip that is common

Rules of this file:
- Pure, over the raw request target: nothing is decoded or encoded again.
- What follows the scheme reaches the visitor byte for byte, and is printable ASCII.
"""

import re
from typing import NamedTuple

PORT_MAX = 65_535

_BEGINNINGS = frozenset({"/e/", "/e,"})

# A slash never stands in the arguments: they end with the first one.
_FORM = re.compile(
    r"/e(?:,(?P<arguments>[\x21-\x2e\x30-\x7e]*)|/(?P<slipped>pg(?:=|%3[dD])[\x21-\x2e\x30-\x7e]*))?"
    r"//?(?:(?P<scheme>[hH][tT][tT][pP][sS]?):/{1,2})?"
    r"(?P<rest>"
    r"(?P<authority>(?!-|localhost[:/])[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.?(?<!-)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?)"
    r"/[\x21-\x7e]+)"
)

_COMMON = re.compile(r"pg=[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EQUALS = re.compile(r"=|%3[dD]")
_KNOWN_ARGUMENTS = {
    "pg": re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "hls": re.compile(r"[01]"),
    "s": re.compile(r"[0-9a-fA-F]{32}"),
    "p": re.compile(r"[0-9a-fA-F]{32}"),
    "t": re.compile(r"[0-9]{15}"),
    "g": re.compile(r"[0-9a-fA-F]{40}"),
}


class Prefix(NamedTuple):
    """A well-formed prefix redirect."""

    target: str
    authority: str  # of the target: host, and port if one is given
    arguments: str | None

    def inner(self) -> str:
        """Return the target as whoever serves its host is asked for it."""
        return "/" + self.target.split("/", 3)[3]


def is_prefix(raw_target: str) -> bool:
    """Tell whether *raw_target* is, or tries to be, a prefix redirect."""
    return raw_target[:3] in _BEGINNINGS


def parse_prefix(raw_target: str) -> Prefix | None:
    """Return where *raw_target* leads, or None if it is malformed."""
    form = _FORM.fullmatch(raw_target)
    if form is None:
        return None
    arguments, slipped, scheme, rest, authority, port = form.groups()
    if port is not None and int(port) > PORT_MAX:
        return None
    told = arguments or slipped
    target = f"{scheme.lower()}://{rest}" if scheme else f"https://{rest}"
    return Prefix(target, authority, plain_arguments(told) if told else None)


def plain_arguments(told: str) -> str | None:
    """Return arguments in one spelling, or None when there are none.

    Those that are known and well-formed are written with `=` and in small
    letters; where one is repeated the last counts.  Others stay as they came: a
    redirect never fails for its arguments.
    """
    if _COMMON.fullmatch(told):
        return told
    parts: list[str] = []
    places: dict[str, int] = {}
    for part in filter(None, told.split(",")):
        name, *values = _EQUALS.split(part, maxsplit=1)
        known = _KNOWN_ARGUMENTS.get(name)
        if known is None or not values or not known.fullmatch(values[0]):
            parts.append(part)
            continue
        if name in places:
            parts[places[name]] = ""
        places[name] = len(parts)
        parts.append(f"{name}={values[0].lower()}")
    return ",".join(filter(None, parts)) or None
