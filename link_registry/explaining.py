"""What may be asked about a visit: parameters in, a visit or its address out.

Rules of this file:
- Pure.  What is left out of a visit is not known, but for its time, which is given.
- Every refusal names the parameter and what it accepts.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from milepost.errors import FieldError
from milepost.fields import shape_of
from milepost.links import EXPIRES_MS_MAX, Link
from milepost.targeting.choosing import Facts
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import Millis

TARGET_CHARS_MAX, HEADER_CHARS_MAX = 4_096, 1_024
VISIBLE, PRINTABLE = "visible ASCII", "/ and printable ASCII, without ?"

_PATH = re.compile(r"/[\x21-\x3e\x40-\x7e]*")
_HOST = re.compile(r"[\x21-\x7e]*")
_QUERY = re.compile(r"[\x21-\x7e]*")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VISITOR = re.compile(rf"[0-9a-f]{{{2 * HASH_BYTES}}}")
PATH_PATTERN, QUERY_PATTERN, COUNTRY_PATTERN = _PATH.pattern, _QUERY.pattern, _COUNTRY.pattern
HOST_PATTERN = _HOST.pattern
REGION_PATTERN, VISITOR_PATTERN = _REGION.pattern, _VISITOR.pattern


class Asked(NamedTuple):
    """A visit that might come."""

    path: str
    query: str
    facts: Facts


def read_address(given: Mapping[str, str]) -> tuple[str, str]:
    """Return the host and the path of the visit that *given* describes, or refuse."""
    host = _fitting(given, "host", _HOST, VISIBLE) or ""
    return host, _fitting(given, "path", _PATH, PRINTABLE) or "/"


def read_visit(link: Link, given: Mapping[str, str], now: Millis) -> Asked:
    """Return the visit to *link* that *given* describes, or refuse."""
    visitor = _fitting(given, "visitor", _VISITOR, "a visitor hash, 32 hexadecimal digits")
    country = _fitting(given, "country", _COUNTRY, "two letters, such as DE")
    facts = Facts(
        time=_moment(given["time"]) if "time" in given else now,
        region=_fitting(given, "region", _REGION, "a region's name, such as dfw"),
        country=country and country.upper(),
        language=_header(given, "language"),
        agent=_header(given, "user_agent"),
        visitor=bytes.fromhex(visitor or ""),
    )
    query = _fitting(given, "query", _QUERY, "printable ASCII, percent-encoded") or ""
    return Asked(_path(link, given), query, facts)


def _path(link: Link, given: Mapping[str, str]) -> str:
    beginning = link.path[:-1] if link.is_pattern else link.path
    path = _fitting(given, "path", _PATH, PRINTABLE) or beginning
    if not (path.startswith(beginning) if link.is_pattern else path == beginning):
        accepted = f"one that the link stands for, {link.path}"
        raise FieldError(field="path", accepted=accepted, got="another")
    return path


def _fitting(
    given: Mapping[str, str], name: str, wanted: re.Pattern[str], accepted: str
) -> str | None:
    text = given.get(name)
    if text is None or (len(text) <= TARGET_CHARS_MAX and wanted.fullmatch(text)):
        return text
    raise FieldError(field=name, accepted=accepted, got=shape_of(text))


def _header(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    if len(text) <= HEADER_CHARS_MAX:
        return text
    accepted = f"at most {HEADER_CHARS_MAX} characters"
    raise FieldError(field=name, accepted=accepted, got=shape_of(text))


def _moment(text: str) -> Millis:
    found = -1
    if re.fullmatch(r"[0-9]{1,15}", text):
        found = int(text)
    else:
        try:
            told = datetime.fromisoformat(text)
            found = round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError):
            pass
    if 0 <= found <= EXPIRES_MS_MAX:
        return Millis(found)
    accepted = "RFC 3339, such as 2030-12-31T23:59:59Z, or milliseconds since 1970"
    raise FieldError(field="time", accepted=accepted, got=shape_of(text))
