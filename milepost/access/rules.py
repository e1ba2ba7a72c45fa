"""What a token that a service keeps may be, and who may make or end it.

Rules of this file:
- Pure.  The moment is given.
- Nobody can give what they do not have: scopes, hosts, tags, time or rate.
- Whoever could not have made a token neither sees it nor ends it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from milepost.errors import FieldError, ForbiddenError, NarrowedError
from milepost.fields import shape_of
from milepost.links import EXPIRES_MS_MAX, HOST_CHARS_MAX
from milepost.tags import tag_from
from milepost.tokens import Principal
from milepost.vocabulary import Millis, Scope

TOKENS_MAX = 1_000  # each is compared with what a caller shows
NAME_CHARS_MAX, HOSTS_MAX, TAGS_MAX = 64, 100, 20
RATE_DEFAULT, RATE_MAX = 600, 60_000  # calls a minute
DAY_MS = 86_400_000
FIELDS = ("name", "scopes", "hosts", "tags", "expires_ms", "rate")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?\.*")
NAME_PATTERN, HOST_PATTERN = _NAME.pattern, _HOST.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A token that a service keeps: everything but the token itself."""

    name: str
    hash: bytes = field(repr=False)
    scopes: frozenset[Scope]
    hosts: frozenset[str]
    tags: frozenset[str]
    rate: int  # calls a minute
    created_ms: Millis
    created_by: str  # name of the token that it was made with
    expires_ms: Millis | None = None
    revoked_ms: Millis | None = None
    used_day: int | None = None  # days since 1970, UTC; None: never used

    def principal(self) -> Principal:
        """Return who shows this token."""
        return Principal(
            name=self.name,
            scopes=self.scopes,
            hosts=self.hosts,
            tags=self.tags,
            rate=self.rate,
            expires_ms=self.expires_ms,
        )

    def ended(self, now: Millis) -> str:
        """Return why it is not taken any more; empty: it is."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now else ""

    def to_json(self, now: Millis) -> dict[str, Any]:
        """Return what is told of it: nothing secret."""
        return {
            "name": self.name,
            "state": self.ended(now) or "active",
            "scopes": sorted(self.scopes),
            "hosts": sorted(self.hosts),
            "tags": sorted(self.tags),
            "rate": self.rate,
            "created_ms": self.created_ms,
            "created_by": self.created_by,
            "expires_ms": self.expires_ms,
            "revoked_ms": self.revoked_ms,
            "last_used": None if self.used_day is None else day_text(self.used_day),
        }


def day_text(day: int) -> str:
    """Return a day as people write it."""
    return f"{datetime.fromtimestamp(day * DAY_MS // 1000, UTC):%Y-%m-%d}"


def new_managed(
    body: Any, known: Sequence[Scope], maker: Principal, now: Millis, token_hash: bytes
) -> Managed:
    """Return the token that *body* asks for, or refuse; the service asks for the *known* scopes."""
    told = _told(body)
    wish = Managed(
        name=_name(told.get("name")),
        hash=token_hash,
        scopes=_scopes(told.get("scopes"), known),
        hosts=_list_of(told, "hosts", HOSTS_MAX, _host),
        tags=_list_of(told, "tags", TAGS_MAX, lambda value: tag_from(value, "tags")),
        rate=_rate(told.get("rate"), maker),
        created_ms=now,
        created_by=maker.name,
        expires_ms=_expires_ms(told.get("expires_ms"), maker, now),
    )
    refuse_more(maker, wish)
    return wish


def refuse_more(maker: Principal, wish: Managed) -> None:
    """Refuse what *maker* does not have itself, naming what that is."""
    if more := sorted(wish.scopes - maker.scopes):
        msg = f"the token {maker.name!r} lacks the scope {', '.join(map(repr, more))}"
        raise ForbiddenError(msg)
    for what, own, wanted in _restrictions(maker, wish):
        if own and not wanted:
            msg = f"the token {maker.name!r} is restricted to {maker.restriction()}: name {what}"
            raise NarrowedError(msg)
        if own and (others := sorted(wanted - own)):
            msg = f"the token {maker.name!r} lacks the {what} {', '.join(others)}"
            raise NarrowedError(msg)


def could_make(maker: Principal, token: Managed) -> bool:
    """Tell whether *maker* has all that *token* may do, and so may see and end it."""
    return token.scopes <= maker.scopes and all(
        not own or (wanted and wanted <= own) for _, own, wanted in _restrictions(maker, token)
    )


def forgettable(tokens: Iterable[Managed], now: Millis) -> str | None:
    """Return the name of the token that has been of no use for longest; None: all are in use."""
    ended = [
        (min(each.revoked_ms or EXPIRES_MS_MAX, each.expires_ms or EXPIRES_MS_MAX), each.name)
        for each in tokens
        if each.ended(now)
    ]
    return min(ended)[1] if ended else None


def _restrictions(
    maker: Principal, token: Managed
) -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    return ("hosts", maker.hosts, token.hosts), ("tags", maker.tags, token.tags)


def _told(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise FieldError(field="the body", accepted="an object", got=shape_of(body))
    if unknown := sorted(set(body).difference(FIELDS)):
        accepted = f"one of {', '.join(FIELDS)}"
        raise FieldError(field=unknown[0][:40], accepted=accepted, got="no such field")
    return body


def _name(value: Any) -> str:
    if isinstance(value, str) and len(value) <= NAME_CHARS_MAX and _NAME.fullmatch(value):
        return value
    accepted = f"letters, digits, dots, _ and -, at most {NAME_CHARS_MAX}"
    raise FieldError(field="name", accepted=accepted, got=shape_of(value))


def _scopes(value: Any, known: Sequence[Scope]) -> frozenset[Scope]:
    if isinstance(value, list) and 0 < len(value) <= len(known):
        found = frozenset(Scope(each) for each in value if each in known)
        if len(found) == len(value):
            return found
    accepted = f"a list of some of {', '.join(known)}, each once"
    raise FieldError(field="scopes", accepted=accepted, got=shape_of(value))


def _list_of(
    told: Mapping[str, Any], name: str, most: int, read: Callable[[Any], str]
) -> frozenset[str]:
    value = told.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise FieldError(field=name, accepted=f"a list of at most {most}", got=shape_of(value))
    return frozenset(read(each) for each in value)


def _host(value: Any) -> str:
    if isinstance(value, str) and len(value) <= HOST_CHARS_MAX and _HOST.fullmatch(value):
        return value.lower().rstrip(".")
    accepted = f"host names of at most {HOST_CHARS_MAX} characters, with a port or without"
    raise FieldError(field="hosts", accepted=accepted, got=shape_of(value))


def _rate(value: Any, maker: Principal) -> int:
    most = RATE_MAX if maker.rate is None else maker.rate
    if value is None:
        return min(RATE_DEFAULT, most)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= RATE_MAX:
        accepted = f"calls a minute, 1 to {RATE_MAX}"
        raise FieldError(field="rate", accepted=accepted, got=shape_of(value))
    if value > most:
        msg = f"the token {maker.name!r} lacks the rate: it has {most} calls a minute itself"
        raise ForbiddenError(msg)
    return value


def _expires_ms(value: Any, maker: Principal, now: Millis) -> Millis | None:
    if value is None:
        return maker.expires_ms
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= EXPIRES_MS_MAX:
        accepted = "milliseconds since 1970, up to the year 9999, or null for never"
        raise FieldError(field="expires_ms", accepted=accepted, got=shape_of(value))
    if value <= now:
        raise FieldError(field="expires_ms", accepted="a moment to come", got="one that is past")
    if maker.expires_ms is not None and value > maker.expires_ms:
        msg = f"the token {maker.name!r} lacks the time: it expires before that itself"
        raise ForbiddenError(msg)
    return Millis(value)
