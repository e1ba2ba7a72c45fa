"""What a bulk call asks, and what becomes of each item.

Rules of this file:
- Pure.  What is in the database is asked and changed through `Links`.
- An item either happens whole or is refused before anything of it has happened.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from link_registry.drawing import drawn, first_free
from link_registry.entries import Entry, fields_of, new_entry, revised
from milepost.errors import FieldError, NotFoundError, RejectedError, StaleError, TooLargeError
from milepost.fields import shape_in, shape_of
from milepost.links import ANY_HOST, Link
from milepost.vocabulary import LinkId, Millis

ITEMS_MAX = 10_000
ITEMS_A_PART = 200  # so long, about 15 ms, a single change has to wait
ATOMIC, BEST_EFFORT = "atomic", "best-effort"
MODES = (ATOMIC, BEST_EFFORT)
FIELDS = ("items", "mode", "dry_run")
ITEM_FIELDS = ("action", "id", "version", "link")
CREATE, UPDATE, DELETE, UPSERT = "create", "update", "delete", "upsert"
ACTIONS = (CREATE, UPDATE, DELETE, UPSERT)
CREATED, UPDATED, UNCHANGED, DELETED, FAILED = (
    *("created", "updated", "unchanged", "deleted", "failed"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A bulk call."""

    items: list[Any]
    atomic: bool
    dry_run: bool  # say what would become of it, and change nothing

    def part_after(self, done: int) -> list[Any]:
        """Return the items that are to be done next, in one transaction."""
        if self.atomic or self.dry_run:
            return self.items
        return self.items[done : done + ITEMS_A_PART]


@dataclass(frozen=True, slots=True)
class Chance:
    """What is drawn for links that are made."""

    new_id: Callable[[], LinkId]
    slugs: Callable[[], Iterable[str]]  # to try, for one link after another


class Links(Protocol):
    """The links, inside of one transaction."""

    def by_id(self, link_id: str) -> Entry | None:
        """Return the link with that id."""

    def by_place(self, host: str, path: str) -> Entry | None:
        """Return the link of that host and path."""

    def path_in_use(self, link: Link) -> bool:
        """Tell whether somebody uses its path where it would be seen."""

    def create(self, entry: Entry) -> None:
        """Add a link, or refuse because of where it is or leads."""

    def replace(self, old: Entry, new: Entry) -> None:
        """Put *new* in the place of *old*, or refuse because of where it is or leads."""

    def delete(self, entry: Entry, now: Millis) -> None:
        """Take a link away."""


def asked_from(body: Any) -> Asked:
    """Return what *body* asks, or refuse naming the field; items are judged one by one later."""
    if not isinstance(body, dict):
        accepted = "an object with items, and mode if it is not best-effort"
        raise FieldError(field="the body", accepted=accepted, got=shape_of(body))
    _refuse_unknown(body, FIELDS)
    items, mode = body.get("items"), body.get("mode", BEST_EFFORT)
    dry_run = body.get("dry_run", False)
    if not isinstance(items, list) or not items:
        accepted = f"a list of 1 to {ITEMS_MAX} items"
        raise FieldError(field="items", accepted=accepted, got=shape_in(body, "items"))
    if len(items) > ITEMS_MAX:
        msg = f"items: want at most {ITEMS_MAX} in one call, got {len(items)}"
        raise TooLargeError(msg)
    if mode not in MODES:
        raise FieldError(field="mode", accepted=" or ".join(MODES), got=shape_of(mode))
    if not isinstance(dry_run, bool):
        raise FieldError(field="dry_run", accepted="true or false", got=shape_of(dry_run))
    return Asked(items, mode == ATOMIC, dry_run)


def all_done(
    items: Sequence[Any], links: Links, now: Millis, chance: Chance
) -> list[dict[str, Any]]:
    """Do *items* in their order; return a result for each."""
    return [_result(item, links, now, chance) for item in items]


def failures(results: list[dict[str, Any]]) -> list[int]:
    """Return the indexes of the items that were refused."""
    return [index for index, result in enumerate(results) if result["status"] == FAILED]


def _result(item: Any, links: Links, now: Millis, chance: Chance) -> dict[str, Any]:
    try:
        status, entry = _do(item, links, now, chance)
    except RejectedError as error:
        head = {"status": FAILED, "problem": error.status, "code": error.code}
        return head | {"detail": str(error)} | error.members()
    told = {"status": status, "id": entry.link.id, "version": entry.version}
    was_drawn = status == CREATED and "path" not in item["link"]
    return told | ({"path": entry.link.path} if was_drawn else {})


def _do(item: Any, links: Links, now: Millis, chance: Chance) -> tuple[str, Entry]:
    if not isinstance(item, dict):
        accepted = f"an object with {', '.join(ITEM_FIELDS)}"
        raise FieldError(field="the item", accepted=accepted, got=shape_of(item))
    _refuse_unknown(item, ITEM_FIELDS)
    action = item.get("action", UPSERT)
    if action not in ACTIONS:
        accepted = f"one of {', '.join(ACTIONS)}"
        raise FieldError(field="action", accepted=accepted, got=shape_of(action))
    if not isinstance(item.get("link", {}), dict):
        accepted = "an object with a link's fields"
        raise FieldError(field="link", accepted=accepted, got=shape_of(item["link"]))
    fields = fields_of(item.get("link", {}))
    version = _version(item, action)
    if action == CREATE:
        return CREATED, _created(fields, links, now, chance)
    old, by_id = _meant(item, fields, links), item.get("id") is not None
    if old is None and action == UPSERT and not by_id and version is None:
        return CREATED, _created(fields, links, now, chance)
    if old is None:
        msg = "no link has that id" if by_id else "no link has that host and path"
        raise NotFoundError(msg)
    if version not in {None, old.version}:
        msg = f"version: {old.version} is there; read it again before changing it"
        raise StaleError(msg, version=old.version)
    if action == DELETE:
        links.delete(old, now)
        return DELETED, old
    new = revised(old, fields, now)
    if new == old:
        return UNCHANGED, old
    links.replace(old, new)
    return UPDATED, new


def _version(item: Mapping[str, Any], action: str) -> int | None:
    """Return the version that has to be there; None: whichever is."""
    version = item.get("version")
    if version is None:
        return None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        accepted = "the version of a link, a number from 1 on"
        raise FieldError(field="version", accepted=accepted, got=shape_of(version))
    if action == CREATE:
        raise FieldError(field="version", accepted="nothing: no link is there yet", got="one")
    return version


def _created(fields: Mapping[str, Any], links: Links, now: Millis, chance: Chance) -> Entry:
    link_id = chance.new_id()
    if "path" in fields:
        entry = new_entry(fields, link_id, now)
    else:
        entry = first_free(drawn(fields, chance.slugs(), link_id, now), links.path_in_use)
    links.create(entry)
    return entry


def _meant(item: Mapping[str, Any], fields: Mapping[str, Any], links: Links) -> Entry | None:
    """Return the link that an item means: by its id, else by its host and path."""
    link_id = item.get("id")
    if link_id is not None:
        if not isinstance(link_id, str):
            raise FieldError(field="id", accepted="the id of a link", got=shape_of(link_id))
        return links.by_id(link_id)
    host, path = fields.get("host", ANY_HOST), fields.get("path")
    if not isinstance(host, str) or not isinstance(path, str):
        accepted = "the id of a link, or else the path, and the host, of one in its link"
        raise FieldError(field="id", accepted=accepted, got="neither")
    return links.by_place(host.lower().rstrip("."), path)


def _refuse_unknown(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in given:
        if name not in known:
            accepted = f"one of {', '.join(known)}"
            raise FieldError(field=name[:40], accepted=accepted, got="no such field")
