"""How answers are shown: a table for people, one JSON object a line for programs.

What came from visitors is untrusted: a cell shows control characters as text,
so that no terminal obeys them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLUMNS_UNBOUNDED = 10_000  # a pipe has no width: nothing is folded or cut


def emit_json(rows: Iterable[Any]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        click.echo(orjson.dumps(row).decode())


def emit_table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], nothing: str) -> None:
    """Print *rows* under the titles in *columns* (field → title), or say *nothing*."""
    if not rows:
        click.echo(nothing)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row.get(field))) for field in columns))
    console().print(table)


def console() -> Console:
    """Return a console on standard output as it is now."""
    out = Console(highlight=False, markup=False)
    if not out.is_terminal:
        out.width = COLUMNS_UNBOUNDED
    return out


def moment(ms: int) -> str:
    """Return *ms* as people write it, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def cell(value: Any) -> str:
    """Return *value* as text that is safe to show."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            text = orjson.dumps(value).decode()
        case _:
            text = str(value)
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
