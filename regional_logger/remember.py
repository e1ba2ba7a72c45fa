"""What is kept of a visit, and who it counts as.

Rules of this file:
- Pure.  The address comes in as text and leaves as a hash or in canonical form.
- Every text is bounded; what was longer is cut and named in `cut`.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_plus

from multidict import CIMultiDictProxy

from milepost.record import Record
from milepost.visitor import canonical_address, visitor_hash
from milepost.vocabulary import Millis, Region, Salt, VisitorHash
from regional_logger.decide import Decision
from regional_logger.place import NOWHERE, FindPlace, Place

FLY_CLIENT_IP, FORWARDED = "Fly-Client-IP", "forwarded:"
EXPLICIT_TAGS = ("ref", "source", "utm_source")
ULID_TAG = "_ulid"
TEXT_CHARS_MAX = 1_024
HOST_CHARS_MAX = 255


def _spelled(name: str) -> str:
    """Return a pattern for *name*, with any of its characters percent-encoded."""
    return "".join(f"(?:{char}|%(?i:{ord(char):02x}))" for char in name)


_TAGGED = re.compile(
    f"&(?=[rsu_%])({'|'.join(map(_spelled, (*EXPLICIT_TAGS, ULID_TAG)))})(?=[=&]|\\Z)=?([^&]*)"
)

_FROM_HEADERS = {
    "agent": "User-Agent",
    "referer": "Referer",
    "range": "Range",
    "session": "X-Playback-Session-Id",
    "language": "Accept-Language",
}


class Visit(NamedTuple):
    """One request, as far as it matters here."""

    time: Millis
    method: str
    raw_target: str
    host: str
    headers: CIMultiDictProxy[str]
    address: str  # never kept as it is


Visitor = tuple[bool, str | None, VisitorHash | None, Place]
"""(has opted out, canonical address, visitor hash, place): who comes, as far as it may be known.

A bare tuple, because one is made for every visit.  It is never kept as it is.
"""


class Memory(NamedTuple):
    """A record, and the canonical address to seal beside it, if any."""

    record: Record
    address: str | None


def client_address(headers: CIMultiDictProxy[str], peer: str, source: str) -> str:
    """Return who the visitor is; *source* is the setting CLIENT_IP.

    Fly.io's proxy overwrites its header.  One that comes twice did not come
    from there, and then the peer is all that is known.  `forwarded:N` counts N
    proxies from the right end of X-Forwarded-For, since what is further to the
    left was written by whoever came.
    """
    told: list[str] = []
    if source == "fly":
        told = headers.getall(FLY_CLIENT_IP, [])
    elif source.startswith(FORWARDED):
        proxies = int(source.removeprefix(FORWARDED))
        hops = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        told = [hops[-proxies].strip()] if len(hops) >= proxies else []
    return told[0] if len(told) == 1 and canonical_address(told[0]) else peer


def visitor_of(visit: Visit, salt: Salt | None, find_place: FindPlace | None = None) -> Visitor:
    """Return who makes *visit*.  Who opts out is not looked up either."""
    opted_out = _is_one(visit.headers, "Sec-GPC") or _is_one(visit.headers, "DNT")
    canonical = None if opted_out else canonical_address(visit.address)
    hashed = visitor_hash(salt, canonical) if salt and canonical else None
    place = NOWHERE
    if find_place is not None and canonical:
        place = find_place(_whole(canonical, visit.address))
    return opted_out, canonical, hashed, place


def remember(
    visit: Visit, decision: Decision, visitor: Visitor, *, region: Region, addresses: str
) -> Memory:
    """Return what is kept of *visit*; *addresses* is the setting of that name."""
    opted_out, canonical, hashed, place = visitor
    texts, cut = _texts(visit)
    source, source_kind, ulid = _attribution(visit.raw_target, texts, cut)
    record = Record(
        kind=decision.kind or "",
        time=visit.time,
        method=visit.method[:16],
        path=visit.raw_target,
        target=decision.target,
        status=decision.status,
        region=region,
        link=decision.link,
        variant=decision.variant,
        visitor=hashed,
        country=place.country,
        subdivision=place.subdivision,
        asn=place.asn,
        source=source,
        source_kind=source_kind,
        ulid=ulid,
        arguments=decision.arguments,
        oddity=decision.oddity,
        opt_out=True if opted_out else None,
        cut=",".join(cut) or None,
        host=_clean(visit.host)[:HOST_CHARS_MAX],
        agent=texts.get("agent"),
        referer=texts.get("referer"),
        range=texts.get("range"),
        session=texts.get("session"),
        language=texts.get("language"),
    )
    wanted = addresses == "all" or (addresses == "missing" and hashed is None)
    return Memory(record, canonical if wanted else None)


def _whole(canonical: str, address: str) -> str:
    """Return the address to look up: IPv4 as it counts, IPv6 with all that its /64 leaves out."""
    return address.partition("%")[0] if "/" in canonical else canonical


def _is_one(headers: CIMultiDictProxy[str], name: str) -> bool:
    """Tell whether any occurrence of a header says 1: in doubt, a wish not to be counted counts."""
    if name not in headers:
        return False
    return any(part.strip() == "1" for line in headers.getall(name) for part in line.split(","))


def _texts(visit: Visit) -> tuple[dict[str, str], list[str]]:
    texts, cut = {}, []
    for name, header in _FROM_HEADERS.items():
        value = visit.headers.get(header)
        if value:
            texts[name] = _clean(value)[:TEXT_CHARS_MAX]
            if len(value) > TEXT_CHARS_MAX:
                cut.append(name)
    return texts, cut


def _attribution(
    raw_target: str, texts: dict[str, str], cut: list[str]
) -> tuple[str | None, str | None, str | None]:
    """Return where the visit says it comes from, how it says so, and the ULID, if any."""
    ulid = None
    if "?" in raw_target and (tags := _tags(raw_target)):
        ulid = _value(tags, ULID_TAG, "ulid", cut)
        for tag in EXPLICIT_TAGS:
            if tags.get(tag):
                return _value(tags, tag, "source", cut), "explicit", ulid
    referer = texts.get("referer")
    return referer, "implicit" if referer else None, ulid


def _tags(raw_target: str) -> dict[str, str]:
    """Return what the query says under each of the names that matter, still encoded.

    As URLSearchParams reads it: `&` alone separates, names may be percent-encoded,
    and the first of a name counts, also when it is empty.
    """
    query = raw_target.partition("?")[2].partition("#")[0]
    tags: dict[str, str] = {}
    for name, value in _TAGGED.findall(f"&{query}"):
        if name not in tags:
            tags[name] = value
            if "%" in name:
                tags.setdefault(unquote_plus(name), value)
    return tags


def _value(tags: dict[str, str], tag: str, field: str, cut: list[str]) -> str | None:
    encoded = tags.get(tag)
    if not encoded:
        return None
    text = _clean(unquote_plus(encoded, errors="replace"))
    if len(text) > TEXT_CHARS_MAX:
        cut.append(field)
    return text[:TEXT_CHARS_MAX]


def _clean(text: str) -> str:
    """Return *text* as something that can be encoded, whatever bytes it came from."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
