"""`milepost log cat` and `tail`: batches, or the records in them, as they were written."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from milepost.batch import Batch, parse_tally
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.log.opening import Opener, rows_of
from milepost.cli.log.targets import (
    Targets,
    complain,
    find_targets,
    json_option,
    open_option,
    region_option,
    short,
    target_argument,
    when,
)
from milepost.cli.output import emit_json, emit_table
from milepost.errors import RejectedError
from milepost.stream.files import is_open
from milepost.stream.reading import UNREADABLE, StreamFile
from milepost.wire import header_json

BAD_NEWS = 1
ROWS_A_TABLE = 1_000  # a long answer begins before all of it is read
LINES, INTERVAL_SECONDS = 10, 1.0
BATCHES = {
    "stream": "STREAM",
    "seq": "SEQ",
    "time": "TIME",
    "count": "RECORDS",
    "epoch": "EPOCH",
    "key": "KEY",
    "bytes": "BYTES",
    "tally": "TALLY",
}
RECORDS = {
    "time": "TIME",
    "kind": "KIND",
    "host": "HOST",
    "path": "PATH",
    "status": "STATUS",
    "target": "TARGET",
    "visitor": "VISITOR",
    "reason": "NEWS",
}


class Printer:
    """Shows batches one after another; remembers whether something was wrong."""

    def __init__(self, opener: Opener | None, *, as_json: bool) -> None:
        self.bad_news = False
        self._opener = opener
        self._as_json = as_json

    def show(self, batches: Iterable[tuple[Path, Batch]]) -> None:
        """Print *batches*, or what is in them."""
        rows = (row for path, batch in batches for row in self._rows(path, batch))
        if self._as_json:
            emit_json(rows)
            return
        shown, columns = (_shown_batch, BATCHES) if self._opener is None else (_shown, RECORDS)
        while page := [shown(row) for row in islice(rows, ROWS_A_TABLE)]:
            emit_table(columns, page, "")

    def complain(self, path: Path, reason: str) -> None:
        """Say what is wrong, and go on."""
        self.bad_news = True
        complain(path, reason)

    def _rows(self, path: Path, batch: Batch) -> list[dict[str, Any]]:
        try:
            if self._opener is None:
                return [batch_row(batch)]
            return rows_of(batch, self._opener.open(batch))
        except (RejectedError, TypeError, ValueError, AttributeError) as error:
            self.complain(path, f"batch {batch.header.seq}: {error}")
            return []


def batch_row(batch: Batch) -> dict[str, Any]:
    """Return what is to be read of *batch* without a key."""
    header = batch.header
    return {
        **header_json(header),
        "bytes": len(batch.records) + len(batch.addresses),
        "tally": [row._asdict() for row in parse_tally(header.tally)],
    }


def read(path: Path, after: int = 0, last: int | None = None) -> Iterator[Batch]:
    """Give the batches of one file behind *after*, or its *last* ones."""
    with StreamFile.open(path) as stream:
        begin = after if last is None else max(stream.summary().last_seq - last, 0)
        yield from stream.batches(begin)


def batches_of(path: Path, printer: Printer) -> Iterator[tuple[Path, Batch]]:
    """Give the batches of one file, and say what ends them before their time."""
    try:
        for batch in read(path):
            yield path, batch
    except UNREADABLE as error:
        printer.complain(path, str(error))


class Follower:
    """Knows how far each file was shown."""

    def __init__(self, targets: Targets, printer: Printer) -> None:
        self._targets = targets
        self._printer = printer
        self._seen: dict[Path, int] = {}
        self._broken: set[Path] = set()

    def begin(self, lines: int) -> None:
        """Show the last batches of all files together."""
        self._show(lines)

    def go_on(self) -> None:
        """Show what is new."""
        self._show(None)

    def _show(self, last: int | None) -> None:
        found: list[tuple[Path, Batch]] = []
        for path in self._targets.files():
            if path not in self._broken:
                found += self._read(path, last)
        found.sort(key=_when)
        self._printer.show(found if last is None else found[max(len(found) - last, 0) :])

    def _read(self, path: Path, last: int | None) -> list[tuple[Path, Batch]]:
        after = self._seen.get(path, 0)
        try:
            found = list(read(path, after, last))
        except UNREADABLE as error:
            # One that was not read yet and has its writer may be in the middle of its birth.
            if path in self._seen or not is_open(path):
                self._broken.add(path)
                self._printer.complain(path, str(error))
            return []
        self._seen[path] = found[-1].header.seq if found else after
        return [(path, batch) for batch in found]


def _when(found: tuple[Path, Batch]) -> tuple[int, int]:
    header = found[1].header
    return header.first_ms, header.seq


def _shown_batch(row: dict[str, Any]) -> dict[str, Any]:
    tally = (
        " ".join(f"{name} {count}" for name, count in each.items() if name != "hour_ms" and count)
        for each in row["tally"]
    )
    return {
        **row,
        "stream": short(row["stream"]),
        "time": when(row["first_ms"]),
        "tally": "; ".join(tally),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    if "reason" in row:
        return {**row["fields"], **row, "time": None}
    return {**row, "time": when(row["time"])}


@click.command(
    epilog=example("milepost log cat 3f2a", "milepost log cat --open --json /data/log | jq .path")
)
@target_argument
@open_option
@region_option
@json_option
@fleet_option
@click.pass_context
def cat(
    ctx: click.Context, *, target: str | None, opened: bool, region: str | None, as_json: bool
) -> None:
    """Show every batch, or with --open every record, in the order of writing.

    Exits with 1 when something cannot be read; the rest is shown.
    """
    here: Surroundings = ctx.obj
    targets = find_targets(here, target, region)
    printer = Printer(Opener(here) if opened else None, as_json=as_json)
    for path in targets.files():
        printer.show(batches_of(path, printer))
    if printer.bad_news:
        ctx.exit(BAD_NEWS)


@click.command(epilog=example("milepost log tail --region dfw", "milepost log tail --open --json"))
@target_argument
@click.option(
    "--lines",
    type=click.IntRange(0, 10_000),
    default=LINES,
    show_default=True,
    help="How many of the last batches to begin with.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3_600),
    default=INTERVAL_SECONDS,
    show_default=True,
    help="Seconds between two looks.",
)
@open_option
@region_option
@json_option
@fleet_option
@click.pass_obj
def tail(
    here: Surroundings,
    *,
    target: str | None,
    lines: int,
    interval: float,
    opened: bool,
    region: str | None,
    as_json: bool,
) -> None:
    """Show the last batches, or with --open their records, and go on as they are written.

    Runs until Ctrl-C.
    """
    printer = Printer(Opener(here) if opened else None, as_json=as_json)
    follower = Follower(find_targets(here, target, region), printer)
    try:
        follower.begin(lines)
        while True:
            time.sleep(interval)
            follower.go_on()
    except KeyboardInterrupt:
        return
