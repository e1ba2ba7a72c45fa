"""A path for a link that came without one: the first that is free of those that chance gives.

Rules of this file:
- Pure.  Chance is given, and what is in use is asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from link_registry.entries import Entry, new_entry
from milepost.errors import UnavailableError
from milepost.links import Link
from milepost.vocabulary import LinkId, Millis


def drawn(
    fields: Mapping[str, Any], slugs: Iterable[str], link_id: LinkId, now: Millis
) -> Iterator[Entry]:
    """Yield the link of *fields*, or refuse it, under one path after another."""
    for slug in slugs:
        yield new_entry({**fields, "path": f"/{slug}"}, link_id, now)


def first_free(entries: Iterable[Entry], in_use: Callable[[Link], bool]) -> Entry:
    """Return the first of *entries* whose path is not *in_use*."""
    for entry in entries:
        if not in_use(entry.link):
            return entry
    msg = "every path that was drawn is taken; ask again, or name a path"
    raise UnavailableError(msg)
