"""`milepost log verify`: whether every stream is what its writer wrote."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from milepost.batch import Batch, first_chain
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.log.opening import Opener
from milepost.cli.log.targets import (
    find_targets,
    json_option,
    open_option,
    region_option,
    target_argument,
)
from milepost.cli.output import emit_json, emit_table
from milepost.errors import RejectedError, UnavailableError
from milepost.stream.reading import UNREADABLE, StreamFile
from milepost.stream.verify import faults
from milepost.vocabulary import Seq
from milepost.wire import Cursor

BAD_NEWS = 1
COLUMNS = {"file": "FILE", "seq": "SEQ", "fault": "FAULT"}


@dataclass(slots=True)
class Report:
    """What was found in one file."""

    path: Path
    batches: int = 0
    records: int = 0
    faults: list[tuple[int | None, str]] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each fault."""
        return [{"file": self.path.name, "seq": seq, "fault": text} for seq, text in self.faults]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "file": str(self.path),
            "ok": not self.faults,
            "batches": self.batches,
            "records": self.records,
            "faults": [{"seq": seq, "fault": text} for seq, text in self.faults],
        }


class Verifier:
    """Checks one file after another."""

    def __init__(self, opener: Opener | None, advance: Callable[[], None]) -> None:
        self._opener = opener
        self._advance = advance

    def check(self, path: Path) -> Report:
        """Return what is to be said of *path*."""
        report = Report(path)
        seen = Seq(0)
        try:
            with StreamFile.open(path) as stream:
                report.faults += [(None, text) for text in stream.damage()]
                before = Cursor(Seq(0), first_chain(stream.about.stream))
                for batch, fault in faults(stream.batches(), before):
                    seen = batch.header.seq
                    self._count(report, batch, fault)
        except UnavailableError:
            raise  # the key server, not the file
        except UNREADABLE as error:
            report.faults.append((seen + 1 if seen else None, str(error)))
        return report

    def _count(self, report: Report, batch: Batch, fault: str) -> None:
        report.batches += 1
        if not fault:
            report.records += batch.header.count
            fault = self._sealed_fault(batch)
        if fault:
            report.faults.append((batch.header.seq, fault))
        self._advance()

    def _sealed_fault(self, batch: Batch) -> str:
        if self._opener is None:
            return ""
        try:
            self._opener.open(batch)
        except RejectedError as error:
            return str(error)
        return ""


def size_of(path: Path) -> int:
    """Return how many batches there are to check; what cannot be read has none."""
    try:
        with StreamFile.open(path) as stream:
            return stream.summary().batches
    except UNREADABLE:
        return 0


def check_all(files: list[Path], opener: Opener | None) -> Iterator[Report]:
    """Check *files*, with a bar on a terminal's standard error."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("batches", total=sum(map(size_of, files)))
        verifier = Verifier(opener, lambda: progress.advance(bar))
        for path in files:
            yield verifier.check(path)


@click.command(epilog=example("milepost log verify", "milepost log verify --open /data/log"))
@target_argument
@open_option
@region_option
@json_option
@fleet_option
@click.pass_context
def verify(
    ctx: click.Context, *, target: str | None, opened: bool, region: str | None, as_json: bool
) -> None:
    """Check every chain from its beginning, every header, and the files themselves.

    With --open also that every box opens and holds what its header tells. Exits with 1
    when something is wrong, and names file and batch.
    """
    here: Surroundings = ctx.obj
    files = find_targets(here, target, region).files()
    reports = list(check_all(files, Opener(here) if opened else None))
    bad = [row for report in reports for row in report.rows()]
    if as_json:
        emit_json(report.to_json() for report in reports)
    elif bad:
        emit_table(COLUMNS, bad, "")
    if not as_json:
        batches, records = (
            sum(report.batches for report in reports),
            sum(report.records for report in reports),
        )
        end = f"{len(bad)} faults" if bad else "all as they were written"
        click.echo(f"{len(reports)} streams, {batches} batches, {records} records: {end}")
    if bad:
        ctx.exit(BAD_NEWS)
