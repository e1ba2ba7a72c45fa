"""A record: what is kept of one visit, and how records travel in a box.

Rules of this file:
- Pure.
- A stream is never migrated, so every body version ever written stays readable.
- Columns rather than rows: like values stand together and compress well, and a
  field that no record of the batch has costs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import orjson

from milepost.batch import hex_bytes
from milepost.errors import RejectedError
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import LinkId, Millis, VisitorHash

BODY_VERSION = 1
RECORDS_MAX = 1_000

PREFIX, LINK, ORPHAN = "prefix", "link", "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is kept of one visit.  An empty string or None means: there was none."""

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


_NAMES = tuple(field.name for field in fields(Record))
_REQUIRED = frozenset({"kind", "time", "method", "host", "path", "target", "status", "region"})
_NUMBERS = frozenset({"time", "status", "asn"})


def _types(name: str) -> set[type]:
    found: type = int if name in _NUMBERS else bool if name == "opt_out" else str
    return {found} if name in _REQUIRED else {found, type(None)}


_TYPES = {name: _types(name) for name in _NAMES}


def encode_records(records: Sequence[Record]) -> bytes:
    """Return the body of a record box."""
    columns: dict[str, list[Any]] = {}
    for name in _NAMES:
        column = [getattr(record, name) for record in records]
        if any(value is not None for value in column):
            columns[name] = column
    if "visitor" in columns:
        columns["visitor"] = [value and value.hex() for value in columns["visitor"]]
    return orjson.dumps({"v": BODY_VERSION, "n": len(records), "columns": columns})


def decode_records(body: bytes) -> tuple[Record, ...]:
    """Return the records in *body*; refuse what `encode_records` cannot have made."""
    try:
        document = orjson.loads(body)
        version, count, columns = document["v"], document["n"], document["columns"]
        if version != BODY_VERSION:
            msg = f"records of version {version}, newer than this program's {BODY_VERSION}"
            raise RejectedError(msg)
        if not 0 <= count <= RECORDS_MAX or not set(columns) >= (_REQUIRED if count else set()):
            msg = "records without their required columns"
            raise RejectedError(msg)
        names = [name for name in _NAMES if name in columns]
        for name in names:
            columns[name] = _column(name, columns[name], count)
        return tuple(
            Record(**dict(zip(names, row, strict=True)))
            for row in zip(*(columns[name] for name in names), strict=True)
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"not a body of records: {type(error).__name__}"
        raise RejectedError(msg) from error


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
