"""`milepost links export`: every link into a file, page by page."""

import asyncio
import contextlib
import csv
import io
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console

from milepost.cli.drafts import replaced
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.links_rows import COLUMNS, CSV, FORMATS, cells_of, columns_of, json_of
from milepost.cli.places import Central, Place, find
from milepost.client import Client

PAGE = 1_000


async def pages(client: Client) -> AsyncIterator[list[dict[str, Any]]]:
    """Give every link, a page at a time."""
    params = {"limit": str(PAGE)}
    while True:
        page = await client.get("/v1/links", params)
        yield page["links"]
        if not page["next"]:
            return
        params["cursor"] = page["next"]


@contextlib.contextmanager
def whole(path: Path | None) -> Iterator[TextIO]:
    """Lend *path* for writing, or standard output; what is there is replaced at the end."""
    if path is None:
        yield sys.stdout
        return
    with replaced(path) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as out:
        yield out


@click.command("export", epilog=example("milepost links export -o links.csv"))
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default=CSV, show_default=True,
    help="CSV with a header, or one JSON object a line.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; otherwise standard output.",
)  # fmt: skip
@fleet_option
@click.pass_obj
def export(here: Surroundings, *, form: str, output: Path | None) -> None:
    """Write all links so that import reads them.

    Cells that a spreadsheet would take for formulas have an apostrophe in front of them, which
    import takes away again.
    """
    place = find(here, Central.LINKS, holder="read")
    with whole(output) as out:
        count = asyncio.run(_export(place, out, form))
    if output is not None:
        click.echo(f"{count} links are in {output}")


async def _export(place: Place, out: TextIO, form: str) -> int:
    count = 0
    columns: list[str] = []
    console = Console(stderr=True)
    write = csv.writer(out).writerow
    async with Client.connect(place.url, place.token) as client:
        with console.status("exporting") if console.is_terminal else contextlib.nullcontext():
            async for links in pages(client):
                if form != CSV:
                    out.writelines(json_of(link).decode() + "\n" for link in links)
                else:
                    if not columns:
                        columns = columns_of(links[0]) if links else list(COLUMNS)
                        write(columns)
                    for link in links:
                        write(cells_of(link, columns))
                count += len(links)
    return count
