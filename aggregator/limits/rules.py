"""What the registry says of limited links, and what it has to be told.

Rules of this file:
- Pure.
- Totals are told, never what was added: a call that may have happened is made again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from milepost.errors import RejectedError
from milepost.vocabulary import LinkId


@dataclass(frozen=True, slots=True)
class Limited:
    """A link with a click limit, and the total that the registry knows."""

    id: LinkId
    clicks: int
    click_limit: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the limited links, and the cursor of the next ones; empty: these were the last."""

    links: tuple[Limited, ...]
    following: str


def page_from(told: Any) -> Page:
    """Read a page of the registry, or refuse."""
    try:
        links = tuple(
            Limited(
                LinkId(_text(each["id"])), _number(each["clicks"]), _number(each["click_limit"])
            )
            for each in told["links"]
        )
        following = _text(told["next"]) if told["next"] is not None else ""
    except (KeyError, TypeError) as error:
        msg = "the registry's list of limited links cannot be read"
        raise RejectedError(msg) from error
    return Page(links, following)


def to_tell(links: Iterable[Limited], totals: Mapping[LinkId, int]) -> dict[LinkId, int]:
    """Return the totals that are news to the registry, or that end a link.

    A link that was enabled again at its limit is told of although nothing was added.
    """
    found = {}
    for each in links:
        total = totals.get(each.id, 0)
        if total > each.clicks or max(total, each.clicks) >= each.click_limit:
            found[each.id] = total
    return found


def slice_end(batches: Iterable[tuple[int, int]], hits_max: int) -> int | None:
    """Return the last of *batches* (id and size, in order) that fits; the first always does."""
    end, hits = None, 0
    for number, count in batches:
        hits += count
        if end is not None and hits > hits_max:
            break
        end = number
    return end


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value
