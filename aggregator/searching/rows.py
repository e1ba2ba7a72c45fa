"""How hits are told: rows of the database in, fields under their names out.

Rules of this file:
- Pure.
- Column by column: an export tells millions of rows.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import Any

import orjson

from aggregator.hits.store import COLUMNS, INTERNED
from aggregator.query.params import rfc3339
from aggregator.rolling.fields import DERIVED
from aggregator.searching.question import Told, one
from milepost.batch import HOUR_MS
from milepost.errors import RejectedError

STORED = tuple(name for name in COLUMNS if name not in {"batch", "idx", "time_ms"})
FIELDS = ("id", "time", *STORED, *DERIVED)
TEXTS = frozenset({*INTERNED, *DERIVED})

JSON, JSONL, CSV, TSV, PARQUET = "json", "jsonl", "csv", "tsv", "parquet"
MEDIA = {
    JSON: "application/json",
    JSONL: "application/x-ndjson",
    CSV: "text/csv",
    TSV: "text/tab-separated-values",
    PARQUET: "application/vnd.apache.parquet",
}
TEXTUAL = frozenset({JSONL, CSV, TSV})
# A spreadsheet would take what begins so for a formula, which a visitor could have sent.
# An apostrophe goes in front; also before those that are there already, so that it can go again.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")

QUOTED = re.compile(r"[,\"\t\r\n]")

Row = Sequence[Any]
Columns = list[list[Any]]  # of each field its values

_TRUTHS = {0: False, 1: True, None: None}


def read_columns(told: Told) -> tuple[str, ...]:
    """Return which fields are wanted, all of them unless it is told, or refuse."""
    if "columns" not in told:
        return FIELDS
    names = tuple(one(told, "columns").split(","))
    if not set(names) <= set(FIELDS) or len(set(names)) != len(names):
        msg = f"columns: want some of {', '.join(FIELDS)}, with commas between them, each once"
        raise RejectedError(msg)
    return names


def stored_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return what to read for the fields *names*, beside the place of a row."""
    told = ("batch" if name == "id" else name for name in names)
    return tuple(name for name in told if name != "time")


def text_ids(names: Sequence[str], rows: Sequence[Row]) -> set[int]:
    """Return the ids of all texts in *rows* of *names*."""
    marks = [False, False, False, *(name in TEXTS for name in stored_names(names))]
    found: set[int] = set()
    found.update(*compress(zip(*rows, strict=True), marks))
    return found - {None}


@lru_cache(maxsize=4_096)
def _hour(hour: int) -> str:
    return rfc3339(hour * HOUR_MS).removesuffix("00:00.000Z")


def written_moment(moment_ms: int) -> str:
    """Write a moment with its milliseconds; many are of the same hour."""
    hour, ms = divmod(moment_ms, HOUR_MS)
    minute, ms = divmod(ms, 60_000)
    return f"{_hour(hour)}{minute:02d}:{ms // 1000:02d}.{ms % 1000:03d}Z"


def columns_of(
    names: Sequence[str],
    rows: Sequence[Row],
    texts: Mapping[int, str],
    moment: Callable[[int], Any] = written_moment,
) -> Columns:
    """Return the values of each field of *names*; *moment* says how a time is told."""
    if not rows:
        return [[] for _ in names]
    times, _, places, *values = zip(*rows, strict=True)
    stored = iter(values)
    return [
        list(map(moment, times)) if name == "time" else _told(name, next(stored), places, texts)
        for name in names
    ]


def _told(
    name: str, values: Sequence[Any], places: Sequence[int], texts: Mapping[int, str]
) -> list[Any]:
    if name == "id":
        return [f"{batch}:{idx}" for batch, idx in zip(values, places, strict=True)]
    if name in TEXTS:
        return list(map(texts.get, values))
    if name == "visitor":
        return [value and value.hex() for value in values]
    return list(map(_TRUTHS.get, values)) if name == "opt_out" else list(values)


def objects(names: Sequence[str], columns: Columns) -> list[dict[str, Any]]:
    """Return each row as an object, without what there is not."""
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def header(form: str, names: Sequence[str]) -> bytes:
    """Return what comes before the first row."""
    return written(form, names, [[name] for name in names]) if form in {CSV, TSV} else b""


def written(form: str, names: Sequence[str], columns: Columns) -> bytes:
    """Return the rows in *columns* as lines of *form*.

    Many rows say the same in a field: each value is written once and then put in.
    """
    if form == JSONL:
        found = (_members(name, values) for name, values in zip(names, columns, strict=True))
        members = [each for each in found if each] or [[""] * len(columns[0])]
        lines = [f"{{{','.join(filter(None, row))}}}\n" for row in zip(*members, strict=True)]
        return "".join(lines).encode()
    mark = "\t" if form == TSV else ","
    cells = [_cells(values, alone=len(names) == 1) for values in columns]
    return "".join([f"{mark.join(row)}\n" for row in zip(*cells, strict=True)]).encode()


def _members(name: str, values: Sequence[Any]) -> list[str]:
    """Return the member *name* of each row, empty where there is none; or nothing at all."""
    if name in {"id", "time"}:  # each another one, and plain
        return [f'"{name}":"{value}"' for value in values]
    known = {
        value: "" if value is None else f'"{name}":{orjson.dumps(value).decode()}'
        for value in set(values)
    }
    return [known[value] for value in values] if any(known.values()) else []


def _cells(values: Sequence[Any], *, alone: bool) -> list[str]:
    known = {value: _cell(value) for value in set(values)}
    if alone:  # a row of nothing would be no row
        known = {value: cell or '""' for value, cell in known.items()}
    return [known[value] for value in values]


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = str(value)
    if FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
