"""The grammar of prefix redirects: `/e/<target>` and `/e,<arguments>/<target>`.

    /e/example.com/a.mp3                 -> https://example.com/a.mp3
    /e,pg=<guid>/http://example.com/a    -> http://example.com/a

Rules of this file:
- Pure, over the raw request target: nothing is decoded or encoded again.
- What follows the scheme reaches the visitor byte for byte.
"""

import re
from typing import NamedTuple

PORT_MAX = 65_535

_FORM = re.compile(
    r"/e(?:,(?P<arguments>[^/]*))?//?(?:(?P<scheme>[hH][tT][tT][pP][sS]?):/{1,2})?(?P<rest>.*)"
)
_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?")


class Prefix(NamedTuple):
    """A well-formed prefix redirect."""

    target: str
    arguments: str | None


def is_prefix(raw_target: str) -> bool:
    """Tell whether *raw_target* is, or tries to be, a prefix redirect."""
    return raw_target.startswith(("/e/", "/e,"))


def parse_prefix(raw_target: str) -> Prefix | None:
    """Return where *raw_target* leads, or None if it is malformed."""
    form = _FORM.fullmatch(raw_target)
    if form is None:
        return None
    authority, slash, path = form["rest"].partition("/")
    if not slash or not path or not _is_authority(authority):
        return None
    scheme = (form["scheme"] or "https").lower()
    return Prefix(f"{scheme}://{form['rest']}", form["arguments"])


def _is_authority(text: str) -> bool:
    found = _AUTHORITY.fullmatch(text)
    if found is None or (found["port"] and int(found["port"]) > PORT_MAX):
        return False
    host = found["host"]
    if host.startswith((".", "-")) or host.endswith("-") or ".." in host:
        return False
    return host != "localhost"
