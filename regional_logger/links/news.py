"""What the feed says, as values.

Rules of this file:
- Pure.
- A rule that no edge could serve is no reason to stop: it is named as a fault,
  and the position goes on.  An event whose place cannot be read is one, because
  nobody knows what was missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from milepost.errors import RejectedError, UnavailableError
from milepost.links import ACTIONS, CONTINUE, FeedPlace, Link, feed_place, link_from
from milepost.sse import Event
from milepost.vocabulary import LinkId

SNAPSHOT, DELETE = "snapshot", "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a snapshot; the last one has the place that all of them belong to."""

    links: tuple[Link, ...]
    faults: tuple[str, ...]
    place: FeedPlace | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change: a link to hold, or an id to forget, or neither because of a fault.

    With *after* it is none, and only says that *place* is the same as that one.
    """

    place: FeedPlace
    after: FeedPlace | None = None
    put: Link | None = None
    remove: LinkId | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A change as the replica took it: what it holds now, and what it did away with for that."""

    place: FeedPlace
    gone: tuple[Link, ...]
    put: Link | None
    after: FeedPlace | None = None  # the place that is the same, where a history goes on


def read_part(event: Event) -> Part:
    """Read a `snapshot` event, or refuse it whole."""
    try:
        told = orjson.loads(event.data)
        rules, last = told["links"], told["last"]
        read = [_link(rule) for rule in rules]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        msg = "the feed sent a part of a snapshot that cannot be read"
        raise UnavailableError(msg) from error
    return Part(
        links=tuple(link for link in read if isinstance(link, Link)),
        faults=tuple(fault for fault in read if isinstance(fault, str)),
        place=_place(event) if last is True else None,
    )


def read_change(event: Event) -> Change:
    """Read any other event; what is wrong with its rule stands in `fault`."""
    place = _place(event)
    if event.name == CONTINUE:
        return Change(place=place, after=_after(event, place))
    try:
        rule = orjson.loads(event.data)["rule"]
        if event.name == DELETE:
            return Change(place=place, remove=LinkId(_id(rule)))
        link = _link(rule)
    except (orjson.JSONDecodeError, KeyError, TypeError, RejectedError) as error:
        return Change(place=place, fault=f"{type(error).__name__}: {error}")
    if event.name not in ACTIONS:
        return Change(place=place, fault=f"unknown action {event.name[:20]!r}")
    if isinstance(link, str):
        return Change(place=place, fault=link)
    return Change(place=place, put=link)


def following(held: FeedPlace | None, changes: Sequence[Change]) -> tuple[list[Change], str]:
    """Return those of *changes* that follow on *held*, and why the others cannot; or nothing.

    What is held already is passed over.
    """
    found: list[Change] = []
    for change in changes:
        if change.after is not None:
            if change.after == held:
                found.append(change)
                held = change.place
            elif change.place != held:
                return found, f"the feed goes on from {change.after}, which is not held here"
            continue
        if held is None or change.place.history != held.history:
            return found, "a change came that belongs to no history held here"
        if change.place.position > held.position + 1:
            return found, f"{change.place.position} came after {held.position}"
        if change.place.position == held.position + 1:
            found.append(change)
            held = change.place
    return found, ""


def _after(event: Event, place: FeedPlace) -> FeedPlace:
    try:
        after = feed_place(orjson.loads(event.data)["after"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        after = None
    if after is None or after.position != place.position:
        msg = "the feed goes on from a place that cannot be read"
        raise UnavailableError(msg)
    return after


def _place(event: Event) -> FeedPlace:
    place = feed_place(event.id)
    if place is None:
        msg = "the feed sent an event without a place in its history"
        raise UnavailableError(msg)
    return place


def _link(rule: Any) -> Link | str:
    """Return the link, or why there is none."""
    try:
        return link_from(rule, _id(rule))
    except RejectedError as error:
        return str(error)


def _id(rule: Any) -> str:
    if not isinstance(rule, dict) or not isinstance(rule.get("id"), str):
        msg = "id: missing"
        raise RejectedError(msg)
    return str(rule["id"])
