"""What a caller of OP3's API asks for: parameters in, a question out.

Names, syntax and defaults are OP3's.  What it takes and then ignores is refused here, for
ignoring a filter answers another question: filters that there are not, parameters that are
not known, and parameters that are given twice.  All filters can be combined.

Rules of this file:
- Pure.
- Every refusal names the parameter.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aggregator.asking.filters import INTEGER_MAX, URL, Filter, Value
from aggregator.op3.moments import read_op3_moment
from aggregator.searching.question import INTEGER_MIN, Selection
from milepost.errors import RejectedError
from milepost.record import ORPHAN
from milepost.visitor import HASH_BYTES

LIMIT_DEFAULT, LIMIT_MAX = 100, 1_000
TEXT_CHARS_MAX = 8_192
ECHO_CHARS_MAX = 64
EPOCH_DIGITS: Final = 8  # behind the visitor hash: 40 digits together, as many as OP3's

TSV, JSON, JSON_O, JSON_A = "tsv", "json", "json-o", "json-a"
FORMATS = (TSV, JSON, JSON_O, JSON_A)
ASN = "asn"

# What they mean here; each is the only value of its field.
FIELDS: Mapping[str, str] = {
    "userAgent": "agent",
    "referer": "referer",
    "ulid": "ulid",
    "xpsId": "session",
    "method": "method",
    "edgeColo": "region",
}
READERS: Mapping[str, Callable[[str], str]] = {"method": str.upper, "edgeColo": str.lower}
NAMES = (
    *("start", "startAfter", "end", "limit", "format", "desc", "include", "token"),
    *("url", "urlSha256", "hashedIpAddress", *FIELDS),
)
_FALSE = re.compile(r"0|f|false|n|no|off", re.IGNORECASE)
_URL = re.compile(r"https?://([^/?#]+)(/.*)?", re.IGNORECASE | re.DOTALL)

# As OP3 has none of what it does not redirect, so there is none of it here.
REDIRECTED = Filter("kind", (ORPHAN,), negated=True)

Told = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which hits, in which order, how many, and how they are told."""

    selection: Selection
    descending: bool = False
    limit: int = LIMIT_DEFAULT
    form: str = TSV
    with_asn: bool = False
    epoch: int | None = None  # hits of another one are not meant


def read_asked(told: Told, now_ms: int) -> Asked:
    """Read the parameters *told*, or refuse naming the first that is wrong."""
    given = {name: _one(name, values) for name, values in told.items()}
    if "urlSha256" in given:
        msg = "urlSha256 is not supported: ask by url"
        raise RejectedError(msg)
    filters, epoch = [REDIRECTED, *_filters(given)], None
    if "hashedIpAddress" in given:
        visitor, epoch = _visitor(given["hashedIpAddress"])
        filters.append(Filter("visitor", (visitor,)))
    form = given.get("format", TSV)
    if form not in FORMATS:
        raise _bad(form, "format", f"want one of {', '.join(FORMATS)}")
    return Asked(
        selection=_selection(tuple(filters), given, now_ms),
        descending="desc" in given and not _FALSE.fullmatch(given["desc"]),
        limit=_limit(given.get("limit", str(LIMIT_DEFAULT))),
        form=form,
        with_asn=_with_asn(given),
        epoch=epoch,
    )


def hashed(visitor: bytes, epoch: int) -> str:
    """Return what stands for a visitor: its hash, and the epoch whose salt it was made with."""
    return f"{visitor.hex()}{epoch:0{EPOCH_DIGITS}x}"


def _one(name: str, values: Sequence[str]) -> str:
    if name not in NAMES:
        msg = f"Unknown parameter: {name[:ECHO_CHARS_MAX]!r}; known are {', '.join(NAMES)}"
        raise RejectedError(msg)
    if len(values) != 1:
        msg = f"{name}: given twice; one value is taken"
        raise RejectedError(msg)
    return values[0]


def _bad(value: str, name: str, wanted: str) -> RejectedError:
    """Return a refusal in OP3's words, and what would be right."""
    shown = value[:ECHO_CHARS_MAX].encode("utf-8", "replace").decode()
    return RejectedError(f"Bad {name}: {shown}; {wanted}")


def _selection(filters: tuple[Filter, ...], given: Mapping[str, str], now_ms: int) -> Selection:
    if "start" in given and "startAfter" in given:
        msg = "start and startAfter exclude each other"
        raise RejectedError(msg)
    moments = {
        name: _moment(name, given[name], now_ms)
        for name in ("start", "startAfter", "end")
        if name in given
    }
    start_ms = moments.get("start", INTEGER_MIN)
    if "startAfter" in moments:
        start_ms = moments["startAfter"] + 1
    return Selection(filters=filters, start_ms=start_ms, end_ms=moments.get("end", INTEGER_MAX))


def _moment(name: str, text: str, now_ms: int) -> int:
    moment = read_op3_moment(text, now_ms)
    if moment is None:
        wanted = "want such as 2026-01, 2026-01-31, 2026-01-31T12:00:00Z or -24h"
        raise _bad(text, name, wanted)
    return moment


def _limit(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]{0,3}", text) or int(text) > LIMIT_MAX:
        raise _bad(text, "limit", f"want a whole number, 0 to {LIMIT_MAX}")
    return int(text)


def _with_asn(given: Mapping[str, str]) -> bool:
    if "include" not in given:
        return False
    for name in given["include"].split(","):
        if name != ASN:
            raise _bad(name, "include", f"want {ASN}")
    return True


def _filters(given: Mapping[str, str]) -> list[Filter]:
    found = []
    for name, field in FIELDS.items():
        if name in given:
            value: Value = READERS.get(name, str)(_text(name, given[name]))
            found.append(Filter(field, (value,)))
    if "url" in given:
        found.append(_url(_text("url", given["url"])))
    return found


def _text(name: str, text: str) -> str:
    # A query can be made to hold half a character, which no stored text has.
    if not 0 < len(text) <= TEXT_CHARS_MAX or any("\ud800" <= char <= "\udfff" for char in text):
        raise _bad(text, name, f"want a text of 1 to {TEXT_CHARS_MAX} characters")
    return text


def _url(text: str) -> Filter:
    found = _URL.fullmatch(text)
    if found is None:
        raise _bad(text, "url", "want an http or https URL, or the beginning of one and a *")
    host, path = found.groups()
    prefix = text.endswith("*")
    if prefix and path is None:
        raise _bad(text, "url", "want a whole host in front of the *")
    if prefix:
        return Filter(URL, (f"{host}{path[:-1]}",), prefix=True)
    return Filter(URL, (f"{host}{path or '/'}",))


def _visitor(text: str) -> tuple[bytes, int]:
    """Return the visitor hash and the epoch in *text*."""
    if text == "current":
        msg = (
            "hashedIpAddress=current is not supported: no address reaches this service, and the "
            "salts that addresses are hashed with never do"
        )
        raise RejectedError(msg)
    digits = 2 * HASH_BYTES
    if not re.fullmatch(rf"[0-9a-f]{{{digits + EPOCH_DIGITS}}}", text):
        wanted = f"want {digits + EPOCH_DIGITS} lower-case hex digits, as a hit has them"
        raise _bad(text, "hashedIpAddress", wanted)
    return bytes.fromhex(text[:digits]), int(text[digits:], 16)
