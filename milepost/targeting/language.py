"""The language that a visit wants most, of those that somebody has to offer.

The header `Accept-Language` is read as RFC 9110 writes it, and looked up as in
RFC 4647, section 3.4: ranges in the order of their quality, each cut at its end
until it is one of the languages on offer.

Rules of this file:
- Pure.
- What is no range is left out; a header is never refused.
"""

import functools
import re
from collections.abc import Collection
from typing import NamedTuple

HEADER_CHARS_MAX = 1_024  # as much as a record keeps
RANGES_MAX = 32
HEADERS_REMEMBERED = 512
ANY = "*"

_RANGE = re.compile(
    r"[\t ]*(\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)[\t ]*"
    r"(?:;[\t ]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[\t ]*)?"
)


class Wishes(NamedTuple):
    """What a header asks for, the dearest first, and what it will not have."""

    wanted: tuple[str, ...]
    refused: frozenset[str]


def best_language(header: str, offered: Collection[str]) -> str | None:
    """Return the language of *offered*, in lower case, that *header* wants most; None: none."""
    wanted, refused = wishes_in(header[: HEADER_CHARS_MAX + 1])
    for whole in wanted:
        tag = whole
        while tag:
            if tag in offered and tag not in refused:
                return tag
            tag = _shorter(tag)
    return None


@functools.lru_cache(maxsize=HEADERS_REMEMBERED)
def wishes_in(header: str) -> Wishes:
    """Read *header*.  `*` asks for no language in particular, so it is none of them."""
    if len(header) > HEADER_CHARS_MAX:
        header = header[:HEADER_CHARS_MAX].rpartition(",")[0]  # the last one is not whole
    wanted: list[tuple[float, str]] = []
    refused = set()
    for part in header.split(",", RANGES_MAX)[:RANGES_MAX]:
        found = _RANGE.fullmatch(part)
        if found is None or found[1] == ANY:
            continue
        tag, quality = found[1].lower(), float(found[2] or 1)
        if quality:
            wanted.append((quality, tag))
        else:
            refused.add(tag)
    wanted.sort(key=lambda wish: -wish[0])  # of like quality, the first comes first
    return Wishes(tuple(tag for _, tag in wanted), frozenset(refused))


def _shorter(tag: str) -> str:
    """Return *tag* without its last part, and without a single letter that would end it then."""
    tag = tag.rpartition("-")[0]
    return tag[:-2] if tag[-2:-1] == "-" else tag
