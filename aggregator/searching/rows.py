"""How hits are told: rows of the database in, fields under their names out.

Rules of this file:
- Pure.
- Column by column: an export tells millions of rows.
"""

import csv
import io
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
from milepost.errors import RejectedError

STORED = tuple(name for name in COLUMNS if name not in {"batch", "idx", "time_ms"})
FIELDS = ("id", "time", *STORED, *DERIVED)
TEXTS = frozenset({*INTERNED, *DERIVED})

JSON, JSONL, CSV, TSV = "json", "jsonl", "csv", "tsv"
MEDIA = {
    JSON: "application/json",
    JSONL: "application/x-ndjson",
    CSV: "text/csv",
    TSV: "text/tab-separated-values",
}
# A spreadsheet would take what begins so for a formula, which a visitor could have sent.
# An apostrophe goes in front; also before those that are there already, so that it can go again.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")

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


def columns_of(names: Sequence[str], rows: Sequence[Row], texts: Mapping[int, str]) -> Columns:
    """Return the values of each field of *names*."""
    if not rows:
        return [[] for _ in names]
    times, _, places, *values = zip(*rows, strict=True)
    stored = iter(values)
    return [
        list(map(rfc3339_of, times)) if name == "time" else _told(name, next(stored), places, texts)
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


@lru_cache(maxsize=4_096)
def _second(second: int) -> str:
    return rfc3339(second * 1000)[:-4]


def rfc3339_of(moment_ms: int) -> str:
    """Write a moment with its milliseconds; many are of the same second."""
    second, ms = divmod(moment_ms, 1000)
    return f"{_second(second)}{ms:03d}Z"


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
    """Return the rows in *columns* as lines of *form*."""
    if form == JSONL:
        dump: Callable[[Any], bytes] = _line
        return b"".join(map(dump, objects(names, columns)))
    out = io.StringIO(newline="")
    write = csv.writer(out, delimiter="\t" if form == TSV else ",", lineterminator="\n")
    write.writerows(zip(*map(_cells, columns), strict=True))
    return out.getvalue().encode()


def _line(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _cells(values: Iterable[Any]) -> list[Any]:
    known: dict[Any, Any] = {}
    for value in set(values):
        if isinstance(value, bool):
            known[value] = "true" if value else "false"
        elif isinstance(value, str) and FORMULA.match(value):
            known[value] = f"'{value}"
        else:
            known[value] = value
    return [known[value] for value in values]
