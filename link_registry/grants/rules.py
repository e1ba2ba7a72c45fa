"""What a grant is, what it may ask for, and what its moments do to its link.

Rules of this file:
- Pure.  The moment and the noise of ids are given.
- A grant that exists as a value is valid; whoever holds one need not check it again.
- What is wrong is refused by the field's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from link_registry.entries import Entry, relinked
from milepost.errors import ConflictError, FieldError
from milepost.fields import shape_in, shape_of
from milepost.links import ANY_HOST
from milepost.vocabulary import GrantId, LinkId, Millis

MINUTE_MS = 60_000
MINUTES_MIN, MINUTES_MAX = 1, 30 * 24 * 60  # also the furthest that an end may lie ahead
OWNER_CHARS_MAX = 128
METADATA_BYTES_MAX, METADATA_DEPTH_MAX = 16 << 10, 16
CLEANUPS_MAX, CLEANUP_CHARS_MAX = 256, 200
BY_SCHEDULE = "grants"  # who changes the link when nobody did it by hand
RETRY_MS = 60_000  # from a run in which every try failed to the next

FIELDS = ("owner", "destination", "slug", "link", "host", "duration_minutes", "metadata")
FIELDS_MORE = ("cleanup_ids", "exclusive")
ACTIVE, CLEANING, ABANDONED = "active", "cleaning", "abandoned"
STATES = (ACTIVE, CLEANING, ABANDONED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """One thing that the backend is told to delete once the grant has ended."""

    id: str
    due_ms: Millis | None = None
    done_ms: Millis | None = None
    failures: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the link of a grant is, and where it leads."""

    host: str
    path: str
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A link that somebody has until an end."""

    id: GrantId
    owner: str
    exclusive: bool
    link: LinkId
    made: bool  # the link was made with the grant and goes with it
    link_expires_ms: Millis | None  # of a link that was there before: the end of its own
    metadata: Mapping[str, Any]
    created_ms: Millis
    ends_ms: Millis
    ended_ms: Millis | None
    who: str
    place: Place | None  # None: there is no such link any more
    cleanups: tuple[Cleanup, ...]
    abandoned_ms: Millis | None = None  # since when nobody tries any more to clean up
    abandoned_by: str | None = None

    def state(self, now: Millis) -> str:
        """Return what it is in: its end counts from the moment it was given for."""
        if self.abandoned_ms is not None:
            return ABANDONED
        return ACTIVE if self.ended_ms is None and now < self.ends_ms else CLEANING

    def to_json(self, now: Millis) -> dict[str, Any]:
        """Return what the API answers."""
        over = self.abandoned_ms is not None  # then what was never tried has failed as well
        failed = [
            each for each in self.cleanups if each.done_ms is None and (each.failures or over)
        ]
        return {
            "id": self.id,
            "owner": self.owner,
            "state": self.state(now),
            "exclusive": self.exclusive,
            "link": self.link,
            "host": self.place and self.place.host,
            "path": self.place and self.place.path,
            "destination": self.place and self.place.destination,
            "metadata": self.metadata,
            "cleanup_ids": [each.id for each in self.cleanups],
            "cleaned": [each.id for each in self.cleanups if each.done_ms is not None],
            "failed": [
                {"id": each.id, "failures": each.failures, "reason": each.reason} for each in failed
            ],
            "created_ms": self.created_ms,
            "ends_ms": self.ends_ms,
            "ended_ms": self.ended_ms,
            "abandoned_ms": self.abandoned_ms,
            "abandoned_by": self.abandoned_by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks for.  Either a link is made, or one that is there is named."""

    owner: str
    minutes: int
    exclusive: bool
    metadata: Mapping[str, Any] = field(repr=False)
    cleanup_ids: tuple[str, ...]
    host: Any  # as sent: a link's own rules judge it
    slug: str | None
    link: str | None
    destination: Any

    @property
    def makes_link(self) -> bool:
        """Tell whether a link is made for it."""
        return self.destination is not None


def path_of(slug: str) -> str:
    """Return the path of a link with this slug."""
    return f"/{slug.removeprefix('/')}"


def wish_of(body: Any) -> Wish:
    """Return what *body* asks for, or refuse naming the field that is wrong."""
    if not isinstance(body, dict):
        accepted = "an object with a grant's fields"
        raise FieldError(field="the body", accepted=accepted, got=shape_of(body))
    refuse_fields(body, (*FIELDS, *FIELDS_MORE))
    slug, link, destination = _text(body, "slug"), _text(body, "link"), body.get("destination")
    _one_way(body, slug=slug, link=link, destination=destination)
    exclusive = body.get("exclusive", False)
    if not isinstance(exclusive, bool):
        raise FieldError(field="exclusive", accepted="true or false", got=shape_of(exclusive))
    return Wish(
        owner=owner_of(body.get("owner")),
        minutes=minutes_of(body, "duration_minutes"),
        exclusive=exclusive,
        metadata=_metadata(body.get("metadata", {})),
        cleanup_ids=_cleanup_ids(body.get("cleanup_ids", [])),
        host=body.get("host", ANY_HOST),
        slug=slug,
        link=link,
        destination=destination,
    )


def _one_way(
    body: Mapping[str, Any], *, slug: str | None, link: str | None, destination: Any
) -> None:
    if destination is None and slug is None and link is None:
        accepted = "one, or else the slug or link of a link that is there"
        raise FieldError(field="destination", accepted=accepted, got="nothing")
    if link is not None and (destination is not None or slug is not None or "host" in body):
        accepted = "the id of a link that is there, without destination, slug and host"
        raise FieldError(field="link", accepted=accepted, got="it together with one of these")


def refuse_fields(body: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a field that is not *known*."""
    unknown = sorted(set(body).difference(known))
    if unknown:
        accepted = f"one of {', '.join(known)}"
        raise FieldError(field=unknown[0][:40], accepted=accepted, got="no such field")


def owner_of(value: Any) -> str:
    """Return *value* as an owner, or refuse."""
    if isinstance(value, str) and 0 < len(value) <= OWNER_CHARS_MAX and value.isprintable():
        return value
    accepted = f"1..{OWNER_CHARS_MAX} printable characters"
    raise FieldError(field="owner", accepted=accepted, got=shape_of(value))


def minutes_of(fields: Mapping[str, Any], name: str) -> int:
    """Return what stands under *name* as a number of minutes, or refuse."""
    value: Any = fields.get(name)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and MINUTES_MIN <= value <= MINUTES_MAX:
        return int(value)
    accepted = f"a whole number of minutes, {MINUTES_MIN}..{MINUTES_MAX}"
    raise FieldError(field=name, accepted=accepted, got=shape_in(fields, name))


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or (isinstance(value, str) and value.strip("/")):
        return value
    raise FieldError(field=name, accepted="text that is not empty", got=shape_of(value))


def _metadata(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(field="metadata", accepted="a JSON object", got=shape_of(value))
    if depth_exceeds(value, METADATA_DEPTH_MAX):
        accepted = f"at most {METADATA_DEPTH_MAX} levels in one another"
        raise FieldError(field="metadata", accepted=accepted, got="more")
    size = len(orjson.dumps(value))
    if size > METADATA_BYTES_MAX:
        accepted = f"at most {METADATA_BYTES_MAX} bytes of JSON"
        raise FieldError(field="metadata", accepted=accepted, got=f"{size}")
    return value


def depth_exceeds(value: Any, levels: int) -> bool:
    """Tell whether more than *levels* objects and lists stand in one another."""
    row: list[Any] = [value]
    for _ in range(levels + 1):
        boxes = [each for each in row if isinstance(each, dict | list)]
        if not boxes:
            return False
        row = [
            inner for each in boxes for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return True


def _cleanup_ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > CLEANUPS_MAX:
        accepted = f"a list of at most {CLEANUPS_MAX} ids"
        raise FieldError(field="cleanup_ids", accepted=accepted, got=shape_of(value))
    for index, each in enumerate(value):
        if not is_cleanup_id(each):
            accepted = f"1..{CLEANUP_CHARS_MAX} printable characters, with no part that is . or .."
            raise FieldError(field=f"cleanup_ids[{index}]", accepted=accepted, got=shape_of(each))
    return tuple(dict.fromkeys(value))


def is_cleanup_id(value: Any) -> bool:
    """Tell whether *value* can stand as one segment of a path, whoever decodes it on the way."""
    if not isinstance(value, str) or not 0 < len(value) <= CLEANUP_CHARS_MAX:
        return False
    parts = value.replace("\\", "/").split("/")
    return value.isprintable() and not {".", ".."}.intersection(parts)


def host_and_path(wish: Wish) -> tuple[str, str]:
    """Return where the link that *wish* names is."""
    host = wish.host
    if not isinstance(host, str):
        accepted = "a host name, or * for every host"
        raise FieldError(field="host", accepted=accepted, got=shape_of(host))
    return host.lower().rstrip("."), path_of(str(wish.slug))


def new_grant(wish: Wish, grant_id: GrantId, entry: Entry, now: Millis, who: str) -> Grant:
    """Return the grant of *wish* on *entry*, the link made for it or as it was before."""
    return Grant(
        id=grant_id,
        owner=wish.owner,
        exclusive=wish.exclusive,
        link=entry.link.id,
        made=wish.makes_link,
        link_expires_ms=None if wish.makes_link else entry.link.expires_ms,
        metadata=wish.metadata,
        created_ms=now,
        ends_ms=Millis(now + wish.minutes * MINUTE_MS),
        ended_ms=None,
        who=who,
        place=Place(entry.link.host, entry.link.path, entry.link.destination),
        cleanups=tuple(Cleanup(id=each) for each in wish.cleanup_ids),
    )


def extended(grant: Grant, minutes: int, now: Millis) -> Grant:
    """Return *grant* with an end that is *minutes* later, or refuse."""
    if grant.state(now) != ACTIVE:
        msg = f"the grant {grant.id} has ended; make another"
        raise ConflictError(msg)
    ends = Millis(grant.ends_ms + minutes * MINUTE_MS)
    if ends > now + MINUTES_MAX * MINUTE_MS:
        accepted = f"an end that is at most {MINUTES_MAX} minutes from now"
        raise FieldError(field="minutes", accepted=accepted, got="a later one")
    return replace(grant, ends_ms=ends)


def ended(grant: Grant, now: Millis) -> Grant:
    """Return *grant* as it is once it has ended: all that is to be cleaned up is due."""
    cleanups = tuple(replace(each, due_ms=now) for each in grant.cleanups)
    return replace(grant, ended_ms=now, cleanups=cleanups)


def abandoned(grant: Grant, now: Millis, who: str) -> Grant:
    """Return *grant* with nothing due any more, or refuse; what is not done stays so."""
    if grant.ended_ms is None:
        msg = f"the grant {grant.id} has not been ended; end it first"
        raise ConflictError(msg)
    cleanups = tuple(replace(each, due_ms=None) for each in grant.cleanups)
    return replace(grant, abandoned_ms=now, abandoned_by=who, cleanups=cleanups)


def granted_link(entry: Entry, grant: Grant, now: Millis) -> Entry:
    """Return the link of an active grant: it leads somewhere until the grant's end, or its own.

    The end travels with the link, so that edges keep it whoever is down.
    """
    own = grant.link_expires_ms
    expires = grant.ends_ms if own is None else min(own, grant.ends_ms)
    return relinked(entry, replace(entry.link, enabled=True, expires_ms=expires), now)


def released_link(entry: Entry, grant: Grant, now: Millis) -> Entry:
    """Return a link that was there before, once the grant has ended: off, with its own end."""
    link = replace(entry.link, enabled=False, expires_ms=grant.link_expires_ms)
    return relinked(entry, link, now)


def refuse_held(holder: str | None, owner_or_link: str) -> None:
    """Refuse when there is a *holder*, and name it."""
    if holder is not None:
        msg = f"{owner_or_link} has the active grant {holder}; end it first"
        raise ConflictError(msg)
