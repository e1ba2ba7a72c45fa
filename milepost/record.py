"""A record: what is kept of one visit, and how records travel in a box.

Rules of this file:
- Pure.
- A stream is never migrated, so every body version ever written stays readable.
- Columns rather than rows: like values stand together and compress well, and a
  field that no record of the batch has costs nothing.
- A record that cannot be encoded keeps its place in the batch as text, so that
  the others are not affected: `raw` is left out where there is none.

    body  {"v": 1, "n": count, "columns": {field: [value of each record that is not raw]},
           "raw": [[index in the batch, reason, {field: text}], …]}
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import orjson

from milepost.batch import hex_bytes
from milepost.errors import RejectedError
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import LinkId, Millis, VisitorHash

BODY_VERSION = 1
RECORDS_MAX = 1_000
RAW_CHARS_MAX, REASON_CHARS_MAX = 500, 100

PREFIX, LINK, ORPHAN = "prefix", "link", "orphan"


class Record(NamedTuple):
    """What is kept of one visit.  An empty string or None means: there was none.

    A tuple, because one is made for every visit, and batches turn into columns.
    """

    kind: str
    time: Millis
    method: str
    host: str
    path: str  # path and query as received
    target: str
    status: int
    region: str  # the region that answered
    link: LinkId | None = None
    variant: str | None = None
    visitor: VisitorHash | None = None
    country: str | None = None
    subdivision: str | None = None
    asn: int | None = None
    agent: str | None = None
    referer: str | None = None
    source: str | None = None  # attribution: the value
    source_kind: str | None = None  # attribution: "explicit" or "implicit"
    range: str | None = None
    session: str | None = None  # playback session
    ulid: str | None = None
    language: str | None = None
    opt_out: bool | None = None
    arguments: str | None = None  # of a prefix redirect
    cut: str | None = None  # names of the fields that were too long
    oddity: str | None = None  # of a prefix redirect's target: "trailing_space"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRecord:
    """A record that could not be encoded: what was there, as text, and why it is not a record."""

    index: int  # its place in the batch
    reason: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Body:
    """What is in a record box: the records in order, and between them those that are raw."""

    records: tuple[Record, ...] = ()
    raw: tuple[RawRecord, ...] = ()

    @property
    def count(self) -> int:
        """Return how many there are of both kinds."""
        return len(self.records) + len(self.raw)

    def placed(self) -> Iterator[tuple[int, Record]]:
        """Give every record with its place in the batch."""
        taken = {each.index for each in self.raw}
        free = (index for index in range(self.count) if index not in taken)
        return zip(free, self.records, strict=True)


_NAMES = Record._fields
_REQUIRED = frozenset({"kind", "time", "method", "host", "path", "target", "status", "region"})
_NUMBERS = frozenset({"time", "status", "asn"})


def _types(name: str) -> set[type]:
    found: type = int if name in _NUMBERS else bool if name == "opt_out" else str
    return {found} if name in _REQUIRED else {found, type(None)}


_ABSENT = {type(None)}
_VISITOR_TYPES = {bytes, type(None)}
_TYPES = {name: _types(name) for name in _NAMES}


def encode_records(records: Sequence[Record], raw: Sequence[RawRecord] = ()) -> bytes:
    """Return the body of a record box, or refuse what `decode_records` would not take."""
    columns: dict[str, Sequence[Any]] = {}
    for name, column in zip(_NAMES, zip(*records, strict=True), strict=False):
        kinds = set(map(type, column))
        if kinds == _ABSENT and name not in _REQUIRED:
            continue
        _require_types(name, column, kinds)
        columns[name] = column
    if "visitor" in columns:
        columns["visitor"] = [value and value.hex() for value in columns["visitor"]]
    body = {"v": BODY_VERSION, "n": len(records) + len(raw), "columns": columns}
    if raw:
        body["raw"] = [[each.index, each.reason, each.fields] for each in raw]
    return orjson.dumps(body)


def raw_record(index: int, record: Record, reason: str, chars_max: int) -> RawRecord:
    """Return *record* as text, each field cut to *chars_max*; 0: without its fields."""
    fields: dict[str, str] = {}
    for name in _NAMES if chars_max else ():
        value = getattr(record, name)
        if value is not None:
            fields[name] = _text(value)[:chars_max]
    return RawRecord(index=index, reason=_text(reason)[:REASON_CHARS_MAX], fields=fields)


def decode_records(body: bytes) -> Body:
    """Return what is in *body*; refuse what `encode_records` cannot have made."""
    try:
        document = orjson.loads(body)
        version, count, columns = document["v"], document["n"], document["columns"]
        if version != BODY_VERSION:
            msg = f"records of version {version}, newer than this program's {BODY_VERSION}"
            raise RejectedError(msg)
        raw = _raw(document.get("raw", []), count)
        good = count - len(raw)
        if not 0 <= count <= RECORDS_MAX or not set(columns) >= (_REQUIRED if good else set()):
            msg = "records without their required columns"
            raise RejectedError(msg)
        rows = zip(
            *(
                _column(name, columns[name], good) if name in columns else repeat(None, good)
                for name in _NAMES
            ),
            strict=True,
        )
        records = tuple(map(Record._make, rows))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"not a body of records: {type(error).__name__}"
        raise RejectedError(msg) from error
    return Body(records, raw)


def _raw(told: Any, count: int) -> tuple[RawRecord, ...]:
    found = tuple(
        RawRecord(index=index, reason=reason, fields=fields) for index, reason, fields in told
    )
    places = [each.index for each in found]
    texts = [text for each in found for text in (each.reason, *each.fields.values())]
    if (
        not set(map(type, places)) <= {int}
        or not set(map(type, texts)) <= {str}
        or places != sorted(set(places).intersection(range(count)))
    ):
        msg = "raw: want a place of its own, a reason and texts for each"
        raise RejectedError(msg)
    return found


def _text(value: Any) -> str:
    """Return *value* as text that can be encoded, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - it is broken already, and the others must not be
        text = f"<{type(value).__name__}>"
    return text[:RAW_CHARS_MAX].encode("utf-8", "backslashreplace").decode()


def _require_types(name: str, values: Sequence[Any], kinds: set[type]) -> None:
    if not kinds <= (_VISITOR_TYPES if name == "visitor" else _TYPES[name]):
        msg = f"{name}: a value of another type"
        raise RejectedError(msg)
    if name == "visitor" and any(
        value is not None and len(value) != HASH_BYTES for value in values
    ):
        msg = f"visitor: want {HASH_BYTES} bytes"
        raise RejectedError(msg)


def _column(name: str, values: Any, count: int) -> list[Any]:
    # Sets of types rather than value by value: this runs for every record that is pulled.
    if type(values) is not list or len(values) != count:
        msg = f"{name}: want {count} values"
        raise RejectedError(msg)
    if not set(map(type, values)) <= _TYPES[name]:
        msg = f"{name}: a value of another type"
        raise RejectedError(msg)
    if name == "visitor":
        return [None if value is None else _visitor(value) for value in values]
    return values


def _visitor(text: str) -> VisitorHash:
    return VisitorHash(hex_bytes(text, HASH_BYTES, "visitor"))
