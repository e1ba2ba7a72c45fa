"""Where the link of a visit may be, and which of those that are there answers it.

A link of the very host and port that a visit names comes before one of the host,
and that before one of every host.  At each of the three a literal link comes
before a pattern, and a longer pattern before a shorter one.

Rules of this file:
- Pure.
"""

import functools
import re
from collections.abc import Callable

from milepost.finding.radix import Patterns
from milepost.links import ANY_HOST, PATH_CHARS_MAX, WILDCARD, Link

HOSTS_REMEMBERED = 256

_PORT = re.compile(r":[0-9]{1,5}$")

Place = tuple[str, str]  # host and path


@functools.lru_cache(maxsize=HOSTS_REMEMBERED)
def names_of(host: str) -> tuple[str, ...]:
    """Return the hosts whose links answer a visit to *host*, the nearest first."""
    if not host.isascii():
        return (ANY_HOST,)  # no link has such a host, and a database might not take it
    full = host.lower()
    return tuple(dict.fromkeys((full, _PORT.sub("", full).rstrip("."), ANY_HOST)))


def patterns_over(path: str) -> list[str]:
    """Return every path of a pattern that fits *path*, whether or not there is a link."""
    ends = (at for at, char in enumerate(path[: PATH_CHARS_MAX - 1]) if char == "/")
    return [f"{path[: at + 1]}{WILDCARD}" for at in ends]


def answering(
    host: str, path: str, literal: Callable[[Place], Link | None], patterns: Patterns
) -> Link | None:
    """Return the link that answers a visit, out of what *literal* has at a place, and *patterns*.

    Neither of them knows a disabled link.
    """
    for name in names_of(host):
        link = literal((name, path)) or patterns.find(name, path)
        if link is not None:
            return link
    return None
