"""Which page of a list a call asks for.

Rules of this file:
- Pure.
- A cursor means something to this file alone: the place behind which the page begins, and
  the question it belongs to.  The place is that of a row, not a number of rows, so that
  rows that come and go meanwhile move no other row onto a page twice, or off it.
"""

import binascii
import hashlib
import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping

import orjson

from milepost.errors import FieldError, RejectedError
from milepost.fields import shape_of

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
CURSOR_CHARS_MAX = 5_700  # as long as one gets that names the longest destination
CURSOR_PATTERN = r"[A-Za-z0-9_-]*"
INTEGER_MAX = (1 << 63) - 1
Place = tuple[str | int, ...]


def refuse_unknown(query: Mapping[str, str], *known: str) -> None:
    """Refuse a parameter that is not *known*: ignoring it would answer another question."""
    for name in query:
        if name not in known:
            accepted = f"one of {', '.join(known)}" if known else "no parameter"
            raise FieldError(field=name[:40], accepted=accepted, got="no such parameter")


def limit_of(query: Mapping[str, str]) -> int:
    """Return how many rows *query* asks for at most."""
    text = query.get("limit", str(LIMIT_DEFAULT))
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    raise FieldError(field="limit", accepted=f"1..{LIMIT_MAX}", got=shape_of(text))


def cursor_of(place: Place, question: str) -> str:
    """Return the cursor of the page that begins behind *place*."""
    told = orjson.dumps([_mark(question), *place])
    return urlsafe_b64encode(told).decode().rstrip("=")


def place_of(query: Mapping[str, str], question: str, kinds: tuple[type, ...]) -> Place | None:
    """Return the place that the cursor in *query* names; None where the page is the first.

    A place holds one value of each of *kinds*.
    """
    cursor = query.get("cursor", "")
    if not cursor:
        return None
    mark, *place = _read(cursor)
    if mark != _mark(question):
        accepted = "the `next` of an answer to the same question: same filters, sort and direction"
        raise FieldError(field="cursor", accepted=accepted, got="that of another")
    if [type(each) for each in place] != list(kinds):
        raise _damaged(cursor)
    if any(isinstance(each, int) and not 0 <= each <= INTEGER_MAX for each in place):
        raise _damaged(cursor)
    return tuple(place)


def _mark(question: str) -> str:
    return hashlib.blake2b(question.encode(), digest_size=6).hexdigest()


def _read(cursor: str) -> list[str | int]:
    try:
        if len(cursor) > CURSOR_CHARS_MAX or not re.fullmatch(CURSOR_PATTERN, cursor):
            raise _damaged(cursor)
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        told = orjson.loads(b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _damaged(cursor) from error
    if not isinstance(told, list) or not told:
        raise _damaged(cursor)
    return told


def _damaged(cursor: str) -> RejectedError:
    return FieldError(
        field="cursor", accepted="the `next` of an earlier answer, unchanged", got=shape_of(cursor)
    )
