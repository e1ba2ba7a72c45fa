"""Which hits are downloads, by the rule that OP3 counts by.

Rules of this file:
- Pure.
- A rule has a name, and whoever gives a number out of it names the rule.  Another rule is
  another name: what was told before stays what it was.
- One step for each row, in the order of time; of a day that is over nothing is kept.

    a row counts    GET, answered with a redirect, by a person, and of its ranges one is longer
                    than two bytes; a range that cannot be read counts as none; `bytes=0-1`
                    counts as a first look
    it counts once  per UTC day, destination and audience; an audience is visitor, agent and
                    referer together
    a first look    gives way to a whole request of the same hour; else it is the download
"""

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple

from aggregator.classifying.digests import DIGEST_BYTES, DigestSet
from milepost.batch import HOUR_MS
from milepost.vocabulary import Millis, VisitorHash

RULE: Final = "op3-2026-08"

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
GET: Final = "GET"
LOOK_BYTES: Final = 2
DAY_HOURS: Final = 24
KEPT: Final = 4_096  # ranges and targets that are remembered: the same ones come again and again

_SPEC = r"(?:[0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})"
_RANGE = re.compile(rf"bytes={_SPEC}(?:\s*,\s*{_SPEC})*")
_FIRST_LOOK = re.compile(r"bytes=0+-0*1")
_WEB = re.compile(r"(https?)://([^/?#]*)(.*)", re.DOTALL)
_PORTS = {"http": ":80", "https": ":443"}
_ODD = re.compile(r"[?]|:80|:443|%3F_from=")  # a target without any of it is as it should be
_TUNEIN = frozenset({"DIST=TuneIn", "TGT=TuneIn", "maxServers=2"})
_NOISE = frozenset({"", "=", "query="})


class Asked(Enum):
    """What a request asks for of a file."""

    WHOLE = 1  # all, or enough of it
    FIRST_LOOK = 2  # exactly its first two bytes
    NOTHING = 3  # two bytes at most


class Row(NamedTuple):
    """What the rule asks of a hit."""

    id: int  # the caller's; it comes back with the download
    time: Millis
    method: str
    status: int
    target: str
    range: str | None
    visitor: VisitorHash | None
    agent: str | None
    referer: str | None
    person: bool  # its class is "human"


class Download(NamedTuple):
    """A hit that counts."""

    id: int
    time: Millis
    first_two: bool  # only the first look came, and nothing more in its hour


class Counter:
    """Goes through rows in the order of time, and tells which of them are downloads.

    With *bots*, what is no person counts like people.  It keeps 16 bytes, and some room, for
    each download of the day, and the first looks of the hour.
    """

    def __init__(self, *, bots: bool = False) -> None:
        self._bots = bots
        self._hour = 0
        self._seen = DigestSet()
        self._looks: dict[bytes, Download] = {}

    def count(self, rows: Iterable[Row]) -> Iterator[Download]:
        """Give the downloads among *rows*: whole ones at once, first looks after their hour.

        What is still open after the last row is told by `rest`, or by later rows.
        """
        for row in rows:
            hour = row.time // HOUR_MS
            if hour != self._hour:
                yield from self._turn(hour)
            if row.method != GET or row.status not in REDIRECTS or not (row.person or self._bots):
                continue
            asked = Asked.WHOLE if row.range is None else asked_for(row.range)
            if asked is not Asked.NOTHING and self._is_download(row, asked):
                yield Download(row.id, row.time, first_two=False)

    def rest(self) -> Iterator[Download]:
        """Give the first looks that nothing followed: no more rows of their hour will come."""
        looks, self._looks = self._looks, {}
        yield from looks.values()

    def _turn(self, hour: int) -> Iterator[Download]:
        if hour < self._hour:
            msg = f"rows are out of order: hour {hour} after {self._hour}"
            raise ValueError(msg)
        yield from self.rest()
        if hour // DAY_HOURS != self._hour // DAY_HOURS:
            self._seen = DigestSet()
        self._hour = hour

    def _is_download(self, row: Row, asked: Asked) -> bool:
        """Note *row*, and return whether it is a download already."""
        key = key_of(row)
        new = self._seen.add(key)
        if asked is Asked.FIRST_LOOK:
            if new:
                self._looks[key] = Download(row.id, row.time, first_two=True)
            return False
        return new or self._looks.pop(key, None) is not None


def key_of(row: Row) -> bytes:
    """Return what stands for the destination and the audience of *row*.

    Each part carries its length, so that no two rows are the same by moving a border.
    """
    where, agent, referer = destination(row.target), row.agent or "", row.referer or ""
    text = f"{len(where)} {len(agent)} {len(referer)} {where}{agent}{referer}"
    told = text.encode("utf-8", "surrogatepass") + (row.visitor or b"")
    return blake2b(told, digest_size=DIGEST_BYTES).digest()


@lru_cache(KEPT)
def asked_for(text: str) -> Asked:
    """Return what a Range header asks for; one that cannot be read asks for everything."""
    if not _RANGE.fullmatch(text):
        return Asked.WHOLE
    sizes = [_size(spec.strip()) for spec in text.removeprefix("bytes=").split(",")]
    if 0 in sizes or any(size > LOOK_BYTES for size in sizes):
        return Asked.WHOLE
    return Asked.FIRST_LOOK if _FIRST_LOOK.fullmatch(text) else Asked.NOTHING


def _size(spec: str) -> float:
    """Return how many bytes a range asks for; 0: it is none."""
    first, _, last = spec.partition("-")
    if not first:
        return int(last)
    return max(0, int(last) + 1 - int(first)) if last else inf


@lru_cache(KEPT)
def destination(target: str) -> str:
    """Return *target* without what players add to it, each in its own way, for themselves."""
    found = _WEB.match(target) if _ODD.search(target) else None
    if found is None:
        return target
    scheme, host, rest = found.groups()
    path, _, query = rest.partition("?")
    path = path.partition("%3F_from=")[0]
    pairs = [
        each
        for each in query.split("&")
        if each not in _NOISE and not each.startswith(("_ulid=", "_from="))
    ]
    if _TUNEIN.issubset(pairs):
        pairs = [each for each in pairs if each not in _TUNEIN]
        path = path.removesuffix("/;")
    mark = "?" if pairs else ""
    return f"{scheme}://{host.removesuffix(_PORTS[scheme])}{path}{mark}{'&'.join(pairs)}"
