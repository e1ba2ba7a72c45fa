"""`milepost links import`: create and change links as a file says."""

import asyncio
import contextlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.links_rows import CSV, FORMATS, JSON, Row, csv_rows, json_rows
from milepost.cli.places import Central, Place, find
from milepost.client import Client
from milepost.clock import Clock, Entropy, SystemClock, system_entropy
from milepost.errors import UnavailableError

STDIN = "-"
ITEMS_A_CALL, BYTES_A_CALL = 2_000, 750_000
WAIT_SECONDS = 60.0
TRIES_MAX, RETRY_SECONDS = 4, 1.0
KEY_BYTES = 16
BAD_NEWS = 1
FAILED = "failed"
WORDS = ("created", "updated", "unchanged")


@dataclass(slots=True)
class Tally:
    """What became of the rows."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: int = 0

    def sentence(self, *, dry_run: bool) -> str:
        """Say it."""
        parts = [f"{word} {self.counts[word]}" for word in WORDS]
        head = "would have " if dry_run else ""
        return f"{head}{', '.join(parts)}, skipped {self.skipped}"


class Importer:
    """Sends rows, some at a time, and tells what became of each that was skipped."""

    def __init__(self, client: Client, clock: Clock, entropy: Entropy, *, dry_run: bool) -> None:
        self.tally = Tally()
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._dry_run = dry_run

    async def send_all(self, rows: Iterable[Row], host: str | None) -> None:
        """Send *rows*; those that name no host are of *host*."""
        waiting: list[Row] = []
        items: list[bytes] = []
        size = 0
        for row in rows:
            item = self._item(row, host)
            if item is None:
                continue
            if waiting and (len(waiting) >= ITEMS_A_CALL or size + len(item) > BYTES_A_CALL):
                await self._send(waiting, items)
                waiting, items, size = [], [], 0
            waiting.append(row)
            items.append(item)
            size += len(item)
        if waiting:
            await self._send(waiting, items)

    def _item(self, row: Row, host: str | None) -> bytes | None:
        if row.fault:
            self._skip(row, row.fault)
            return None
        fields: Mapping[str, Any] = ({"host": host} if host else {}) | row.fields
        try:
            item = orjson.dumps({"action": "upsert", "link": fields})
        except TypeError as error:  # a number that no JSON reader takes, or no text at all
            self._skip(row, str(error))
            return None
        if len(item) > BYTES_A_CALL:
            self._skip(row, f"more than {BYTES_A_CALL} bytes")
            return None
        return item

    async def _send(self, rows: list[Row], items: list[bytes]) -> None:
        body = {"items": [orjson.Fragment(item) for item in items], "dry_run": self._dry_run}
        key = self._entropy(KEY_BYTES).hex()  # a call whose answer was lost is made again with it
        for row, result in zip(rows, await self._call(body, key), strict=True):
            if result["status"] == FAILED:
                self._skip(row, result["detail"])
            else:
                self.tally.counts[result["status"]] += 1

    async def _call(self, body: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
        for tries in range(TRIES_MAX):
            try:
                answer, _etag = await self._client.exchange(
                    "POST",
                    "/v1/links/bulk",
                    body=body,
                    headers={"Idempotency-Key": key},
                    wait_seconds=WAIT_SECONDS,
                )
                break
            except UnavailableError:
                if tries == TRIES_MAX - 1:
                    raise
                await self._clock.sleep(RETRY_SECONDS * 2**tries)
        else:
            return []
        results: list[dict[str, Any]] = orjson.loads(answer)["results"]
        return results

    def _skip(self, row: Row, fault: str) -> None:
        self.tally.skipped += 1
        click.echo(f"line {row.line}: {fault}; skipped", err=True)


def rows_of(lines: Iterable[str], form: str) -> Iterator[Row]:
    """Read *lines* in the format *form*."""
    return csv_rows(lines) if form == CSV else json_rows(lines)


def format_of(file: str, asked: str | None) -> str:
    """Return the format of *file*: as asked, or else as its name ends."""
    if asked:
        return asked
    return JSON if file.endswith((".json", ".jsonl", ".ndjson")) else CSV


@contextlib.contextmanager
def opened(file: str) -> Iterator[TextIO]:
    """Open *file*; what is no UTF-8 in it is found row by row."""
    if file == STDIN:
        binary = sys.stdin.buffer
        lines = io.TextIOWrapper(binary, "utf-8-sig", errors="surrogateescape", newline="")
        yield lines
        lines.detach()
        return
    with Path(file).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield lines


@contextlib.contextmanager
def told(lines: TextIO, size: int) -> Iterator[Iterator[str]]:
    """Give *lines*, and show on a terminal how many of *size* characters have been read."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("importing"),
        BarColumn(),
        TaskProgressColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("import", total=size or None)

        def counted() -> Iterator[str]:
            for line in lines:
                progress.advance(task, len(line))
                yield line

        yield counted()


@click.command("import", epilog=example("milepost links import links.csv --dry-run"))
@click.argument("file", metavar="FILE|-")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Otherwise as the name of FILE ends."
)
@click.option("--host", help="Of the rows that name none; otherwise every host.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and change nothing.")
@fleet_option
@click.pass_context
def import_links(
    ctx: click.Context, *, file: str, form: str | None, host: str | None, dry_run: bool
) -> None:
    """Create the links in FILE, or change those that are there; they are known by host and path.

    A CSV file begins with the names of its columns; a JSON file has one object a line, or is
    one list. What a row leaves out stays as it is, so that a second import changes nothing. A
    row that cannot be taken is reported with its line and skipped: then the exit status is 1.
    """
    here: Surroundings = ctx.obj
    place = find(here, Central.LINKS)
    size = 0 if file == STDIN else Path(file).stat().st_size
    with opened(file) as lines, told(lines, size) as counted:
        rows = rows_of(counted, format_of(file, form))
        tally = asyncio.run(_import(place, rows, host, dry_run=dry_run))
    click.echo(tally.sentence(dry_run=dry_run))
    if tally.skipped:
        ctx.exit(BAD_NEWS)


async def _import(place: Place, rows: Iterator[Row], host: str | None, *, dry_run: bool) -> Tally:
    async with Client.connect(place.url, place.token) as client:
        importer = Importer(client, SystemClock(), system_entropy, dry_run=dry_run)
        await importer.send_all(rows, host)
        return importer.tally
