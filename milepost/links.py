"""A managed link as it travels: from people to the registry, and over the feed to the edges.

Rules of this file:
- Pure.
- A link that exists as a value is valid; whoever holds one need not check it again.
- A path that ends in `/*` is a pattern: it stands for every path that begins so.
  What a visit has in the place of its `*` never becomes part of a host name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from milepost.errors import FieldError, RejectedError
from milepost.fields import shape_in, shape_of
from milepost.targeting.rules import Rule, rules_from
from milepost.vocabulary import LinkId, Millis, Position

STATUSES = (301, 302, 307, 308)
PATH_CHARS_MAX, DESTINATION_CHARS_MAX, HOST_CHARS_MAX = 1_024, 2_048, 253
ANY_HOST = WILDCARD = "*"
EXPIRES_MS_MAX = 253_402_300_799_999  # the end of the year 9999
RESERVED_PATHS = ("/e", "/robots.txt", "/favicon.ico")
ACTIONS = ("create", "update", "delete")
CONTINUE = "continue"  # the feed's event for: what you hold is true for another place as well
WEB_SCHEMES = frozenset({"http", "https"})
# What a browser would run, or read on the visitor's own machine: no setting allows these.
NEVER_SCHEMES = frozenset(
    {"javascript", "data", "vbscript", "file", "blob", "filesystem", "about", "view-source"}
)

_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()+,;=:@%/-]*/)?(?:\*|[A-Za-z0-9._~!$&'()+,;=:@%-]*)")
_HOST = re.compile(r"(?:\*|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?)\.*")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
# Most addresses.  `urlsplit` would find the same in one, and takes ten times as long.
PLAIN_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+)(?:[/?#].*)?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
PATH_PATTERN, HOST_PATTERN, VISIBLE_PATTERN = _PATH.pattern, _HOST.pattern, _VISIBLE.pattern
_PLACE = re.compile(r"([0-9a-f]{32}):([0-9]{1,18})")
PLACE_PATTERN = _PLACE.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One managed redirect.  `host` is `*` for every host that points at an edge.

    Where it has rules, `milepost.targeting.choosing` says which of its destinations a visit gets.
    """

    id: LinkId
    host: str
    path: str
    destination: str
    status: int = 302
    enabled: bool = True
    pass_query: bool = False  # a visit's query goes on to the destination
    expires_ms: Millis | None = None  # from this moment on it leads nowhere
    rules: tuple[Rule, ...] = ()  # the first that holds decides; none: the destination

    @property
    def is_pattern(self) -> bool:
        """Tell whether it stands for every path that begins like its own."""
        return self.path.endswith(WILDCARD)

    def to_rule(self) -> dict[str, Any]:
        """Return what stands in a feed event and in the registry's answers."""
        return {
            "id": self.id,
            "host": self.host,
            "path": self.path,
            "destination": self.destination,
            "status": self.status,
            "enabled": self.enabled,
            "pass_query": self.pass_query,
            "expires_ms": self.expires_ms,
            "rules": [rule.to_json() for rule in self.rules],
        }


FIELDS = tuple(Link.__dataclass_fields__)
_FIELDS = frozenset(FIELDS)


@dataclass(frozen=True, slots=True)
class FeedPlace:
    """Where somebody stands in the feed: a position within one history of the registry."""

    history: str
    position: Position

    def __str__(self) -> str:
        return f"{self.history}:{self.position}"


def feed_place(text: str) -> FeedPlace | None:
    """Read the id of a feed's event, or return None when it is not one."""
    found = _PLACE.fullmatch(text)
    return FeedPlace(found[1], Position(int(found[2]))) if found else None


def link_from(rule: Any, link_id: str) -> Link:
    """Return *rule* as a link, or refuse naming the field that is wrong."""
    if not isinstance(rule, Mapping):
        msg = "want an object with the fields of a link"
        raise RejectedError(msg)
    if not rule.keys() <= _FIELDS:
        unknown = sorted(set(rule).difference(FIELDS))
        raise FieldError(
            field=str(unknown[0])[:40], accepted=f"one of {', '.join(FIELDS)}", got="no such field"
        )
    path = _path(rule)

    def destination(field: str, told: Mapping[str, Any]) -> str:
        found = _destination(field, told)
        if path.endswith(WILDCARD) and _ends_in_host(found):
            accepted = "the * of a pattern only after the host and a /"
            raise FieldError(field=field, accepted=accepted, got="one in the host")
        return found

    return Link(
        id=LinkId(link_id),
        host=_host(rule.get("host", ANY_HOST)),
        path=path,
        destination=destination("destination", rule),
        status=_status(rule.get("status", 302)),
        enabled=_yes_or_no("enabled", rule.get("enabled", True)),
        pass_query=_yes_or_no("pass_query", rule.get("pass_query", False)),
        expires_ms=_expires_ms(rule.get("expires_ms")),
        rules=rules_from(rule.get("rules", []), destination),
    )


def _host(value: Any) -> str:
    accepted = f"a host name of at most {HOST_CHARS_MAX} characters, or * for every host"
    if not isinstance(value, str) or len(value) > HOST_CHARS_MAX or not _HOST.fullmatch(value):
        raise FieldError(field="host", accepted=accepted, got=shape_of(value))
    return value.lower().rstrip(".")


def _path(told: Mapping[str, Any]) -> str:
    value: Any = told.get("path")
    if not isinstance(value, str) or len(value) > PATH_CHARS_MAX or not _PATH.fullmatch(value):
        accepted = (
            f"/letters-and-digits, at most {PATH_CHARS_MAX} characters, "
            "and a * only at the end after a /"
        )
        raise FieldError(field="path", accepted=accepted, got=shape_in(told, "path"))
    if value == "/" or is_reserved(value):
        accepted = f"a path that is not reserved, as are {', '.join(('/', *RESERVED_PATHS))}"
        raise FieldError(field="path", accepted=accepted, got="a reserved one")
    return value


def is_reserved(path: str) -> bool:
    """Tell whether the edge itself answers at *path*."""
    return path in RESERVED_PATHS or path.startswith(("/e/", "/e,"))


def scheme_of(destination: str) -> str:
    """Return the scheme of *destination*, in small letters."""
    return destination.partition(":")[0].lower()


def can_be_scheme(scheme: str) -> bool:
    """Tell whether a destination may have *scheme*, if whoever runs the registry allows it."""
    return bool(_SCHEME.fullmatch(scheme)) and scheme not in NEVER_SCHEMES


def _destination(field: str, told: Mapping[str, Any]) -> str:
    """Refuse what is no address.  Which schemes are wanted, the registry says besides."""
    value: Any = told.get("destination")
    good = isinstance(value, str) and len(value) <= DESTINATION_CHARS_MAX
    if good and _VISIBLE.fullmatch(value):
        try:
            if _leads_somewhere(value):
                return str(value)
        except ValueError:
            pass
    accepted = f"an http or https URL, at most {DESTINATION_CHARS_MAX} characters"
    raise FieldError(field=field, accepted=accepted, got=shape_in(told, "destination"))


def _leads_somewhere(value: str) -> bool:
    if PLAIN_ADDRESS.fullmatch(value):
        return True
    scheme, rest = scheme_of(value), value.partition(":")[2]
    if scheme not in WEB_SCHEMES:
        return can_be_scheme(scheme) and bool(rest)
    parts = urlsplit(value)
    # Browsers read a backslash as a slash, so the host would not be the one that stands there.
    return bool(parts.hostname) and parts.port != 0 and "\\" not in parts.netloc


def _ends_in_host(destination: str) -> bool:
    """Tell whether what took the place of a trailing `*` would be part of the host."""
    return destination.endswith(WILDCARD) and "/" not in destination.partition("://")[2]


def _status(value: Any) -> int:
    # `in` alone would let 302.0 pass.
    if isinstance(value, bool) or not isinstance(value, int) or value not in STATUSES:
        raise FieldError(
            field="status", accepted=f"one of {', '.join(map(str, STATUSES))}", got=shape_of(value)
        )
    return value


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FieldError(field=name, accepted="true or false", got=shape_of(value))
    return value


def _expires_ms(value: Any) -> Millis | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= EXPIRES_MS_MAX:
        accepted = "milliseconds since 1970, up to the year 9999, or null for never"
        raise FieldError(field="expires_ms", accepted=accepted, got=shape_of(value))
    return Millis(value)
