"""Links as rows of a file: CSV or JSON, written and read.

Rules of this file:
- Pure.  Lines come from elsewhere.
- What is written is read as it was: a second import of an export changes nothing.
- A cell that a spreadsheet would take for a formula gets an apostrophe in front of it,
  and so does one that begins with an apostrophe before such a character.
- A row that cannot be read says why, and ends nothing.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

CSV, JSON = "csv", "json"
FORMATS = (CSV, JSON)
COLUMNS = ("host", "path", "destination", "status", "enabled", "pass_query", "expires_ms")
# What the registry says of a link and nobody can tell it.
ITS_OWN = frozenset({"id", "version", "created_ms", "updated_ms", "clicks"})
NUMBERS = frozenset({"status", "expires_ms", "click_limit"})
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
FLAG_FIELDS = frozenset({"enabled", "pass_query"})
TEXTS = frozenset({"host", "path", "destination", "note"})

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
MARK = "'"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: the fields of a link, or what is wrong with it."""

    line: int
    fields: dict[str, Any]
    fault: str = ""


def columns_of(link: Mapping[str, Any]) -> list[str]:
    """Return the columns for links such as *link*."""
    more = [name for name in link if name not in ITS_OWN and name not in COLUMNS]
    return [*COLUMNS, *more]


def cells_of(link: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Return *link* as the cells of a CSV row."""
    return [escaped(_text(link.get(name))) for name in columns]


def json_of(link: Mapping[str, Any]) -> bytes:
    """Return *link* as one line of JSON."""
    return orjson.dumps({name: link[name] for name in link if name not in ITS_OWN})


def escaped(cell: str) -> str:
    """Return *cell* so that no spreadsheet computes it."""
    plain = cell.lstrip(MARK)
    return MARK + cell if plain.startswith(FORMULA) else cell


def unescaped(cell: str) -> str:
    """Return what `escaped` was given."""
    plain = cell.lstrip(MARK)
    return cell.removeprefix(MARK) if plain.startswith(FORMULA) else cell


def csv_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Read a CSV file, whose first row names the columns."""
    reader = csv.reader(lines)
    header: list[str] | None = None
    while True:
        begins = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(begins, {}, f"no CSV: {error}")
            continue
        if header is None:
            header = [unescaped(cell).strip().lower() for cell in cells]
        elif cells:
            yield _csv_row(begins, header, cells)


def json_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Read one JSON object a line, or one list of objects."""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if number == 1 and text.startswith("["):
            yield from _listed(text, lines)
            return
        try:
            yield _json_row(number, orjson.loads(text))
        except orjson.JSONDecodeError as error:
            yield Row(number, {}, f"no JSON: {error}")


def _listed(first: str, rest: Iterable[str]) -> Iterator[Row]:
    """Read a list; its rows are numbered, as their lines are not known."""
    try:
        found = orjson.loads(first + "".join(rest))
    except (orjson.JSONDecodeError, UnicodeError) as error:
        yield Row(1, {}, f"no JSON: {error}")
        return
    for number, each in enumerate(found, start=1):
        yield _json_row(number, each)


def _json_row(line: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(line, {}, "want an object with the fields of a link")
    return Row(line, {name: each for name, each in value.items() if name not in ITS_OWN})


def _csv_row(line: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    if len(cells) > len(header):
        return Row(line, {}, f"{len(cells)} cells under {len(header)} columns")
    fields: dict[str, Any] = {}
    for name, cell in zip(header, map(unescaped, cells), strict=False):
        if not cell or name in ITS_OWN:
            continue  # an empty cell leaves a field as it is
        try:
            fields[name] = _value(name, cell)
        except (ValueError, UnicodeError):
            return Row(line, {}, f"{name}: cannot be read")
    return Row(line, fields)


def _value(name: str, cell: str) -> Any:
    cell.encode()  # what is no UTF-8 is refused here, and not when it is sent
    if name in TEXTS:
        return cell
    if name in NUMBERS:
        return int(cell)
    if name in FLAG_FIELDS:
        flag = FLAGS.get(cell.lower())
        if flag is None:
            raise ValueError
        return flag
    return orjson.loads(cell) if cell.startswith(("[", "{")) else cell


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case dict() | list():
            return orjson.dumps(value).decode()
        case _:
            return str(value)
