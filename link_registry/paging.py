"""What may stand behind the question mark of a call, and which page it asks for.

Rules of this file:
- Pure.
- A cursor means something to this file alone.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from milepost.errors import RejectedError
from milepost.vocabulary import LinkId

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
_LAST = re.compile(r"after:([0-9a-z]{1,32})")


@dataclass(frozen=True, slots=True)
class Page:
    """At most *limit* links, from the one that follows *after* on."""

    limit: int
    after: LinkId


def refuse_unknown(query: Mapping[str, str], *known: str) -> None:
    """Refuse a parameter that is not *known*: ignoring it would answer another question."""
    for name in query:
        if name not in known:
            allowed = f"known are {', '.join(known)}" if known else "this call takes none"
            msg = f"{name}: no such parameter; {allowed}"
            raise RejectedError(msg)


def page_of(query: Mapping[str, str]) -> Page:
    """Return the page that *query* asks for, or refuse naming the parameter."""
    refuse_unknown(query, "limit", "cursor")
    return Page(_limit(query.get("limit", str(LIMIT_DEFAULT))), _after(query.get("cursor", "")))


def cursor_after(link_id: LinkId) -> str:
    """Return the cursor of the page that begins after *link_id*."""
    return base64.urlsafe_b64encode(f"after:{link_id}".encode()).decode().rstrip("=")


def _limit(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= LIMIT_MAX:
        return int(text)
    msg = f"limit: want 1..{LIMIT_MAX}, got {text[:20]!r}"
    raise RejectedError(msg)


def _after(cursor: str) -> LinkId:
    if not cursor:
        return LinkId("")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = _LAST.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True).decode())
    except (binascii.Error, ValueError):
        found = None
    if found is None:
        msg = "cursor: send the `next` of an earlier answer, unchanged"
        raise RejectedError(msg)
    return LinkId(found[1])
