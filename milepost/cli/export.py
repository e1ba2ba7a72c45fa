"""`milepost export`: all hits that are meant, into a file."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import (
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from milepost.cli.drafts import replaced
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.hit_filters import Question, path_of, selected, selecting_options
from milepost.cli.output import emit_json
from milepost.cli.places import Central, Place, find
from milepost.client import Client

FORMATS = ("jsonl", "csv", "tsv", "parquet")
SILENCE_SECONDS_MAX = 120.0  # looking for rare hits can take long


@click.command(
    epilog=example(
        "milepost export --start 2026-01-01 --end 2026-02-01 --format csv --out january.csv",
        "milepost export --link spring | wc -l",
    )
)
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True,
    help="One JSON object a line, a table with a header, or Parquet.",
)  # fmt: skip
@click.option("--columns", help="Only these fields, with commas between them.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; otherwise standard output.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON; needs --out.")
@selecting_options
@fleet_option
@click.pass_context
def export(
    ctx: click.Context, *, form: str, columns: str | None, out: Path | None, as_json: bool
) -> None:
    """Write all hits that are meant, in the order in which they became visible.

    In CSV and TSV a cell that a spreadsheet would take for a formula has an apostrophe in
    front.  The file is put in its place when it is whole.
    """
    here: Surroundings = ctx.obj
    if as_json and out is None:
        msg = "--json needs --out: standard output holds the hits"
        raise click.UsageError(msg)
    shape = [("format", form), *([("columns", columns)] if columns else [])]
    question: Question = [*shape, *selected(ctx)]
    place = find(here, Central.AGGREGATOR, holder="read")
    if out is None:
        asyncio.run(_download(place, question, sys.stdout.buffer))
        return
    with replaced(out) as file:
        size = asyncio.run(_download(place, question, file))
    if as_json:
        emit_json([{"file": str(out), "format": form, "bytes": size}])
    else:
        click.echo(f"{size} bytes are in {out}")


async def _download(place: Place, question: Question, out: BinaryIO) -> int:
    size = 0
    async with Client.connect(place.url, place.token) as client:
        chunks = client.download(
            path_of("/v1/export", question), silence_seconds_max=SILENCE_SECONDS_MAX
        )
        with _progress() as advance:
            async with contextlib.aclosing(chunks):
                async for chunk in chunks:
                    out.write(chunk)
                    size += len(chunk)
                    advance(len(chunk))
    return size


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show how much has come and how fast; how much will come nobody knows."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _size: None
        return
    shown = (
        TextColumn("exporting"), DownloadColumn(), TransferSpeedColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*shown, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda size: progress.advance(task, size)
