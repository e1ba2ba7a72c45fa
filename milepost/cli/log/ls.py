"""`milepost log ls`: which streams there are, and what each life counted."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from milepost.batch import Tally, TallyRow, add_tallies
from milepost.cli.group import Surroundings, example, fleet_option
from milepost.cli.log.targets import (
    find_targets,
    json_option,
    region_option,
    short,
    target_argument,
    when,
)
from milepost.cli.output import emit_json, emit_table
from milepost.errors import ServiceError
from milepost.stream.files import is_acknowledged, is_open, size_bytes
from milepost.stream.meter import SUFFIX as METER_SUFFIX
from milepost.stream.meter import read_meter
from milepost.stream.reading import UNREADABLE, StreamFile
from milepost.vocabulary import BatchId, LifeId
from milepost.wire import Life

BAD_NEWS = 1
UNREADABLE_STATE = "unreadable"
STREAMS = {
    "stream": "STREAM",
    "state": "STATE",
    "batches": "BATCHES",
    "records": "RECORDS",
    "first": "FIRST",
    "last": "LAST",
    "epochs": "EPOCHS",
    "size": "SIZE",
    "reason": "NEWS",
}
LIVES = {
    "life": "LIFE",
    "worker": "WORKER",
    "alive": "ALIVE",
    "accepted": "ACCEPTED",
    "recorded": "RECORDED",
    "late": "LATE",
    "shed": "SHED",
    "excluded": "EXCLUDED",
    "lost": "LOST",
}


@dataclass(slots=True)
class Tallied:
    """What the streams of one life tell, each batch once."""

    batches: dict[BatchId, Tally] = field(default_factory=dict)

    def total(self) -> TallyRow:
        """Sum it all up."""
        rows = [TallyRow(0, *row[1:]) for tally in self.batches.values() for row in tally]
        return add_tallies(rows)[0] if rows else TallyRow(0, 0, 0, 0, 0)


def look_at(path: Path, told: dict[LifeId, Tallied]) -> dict[str, Any]:
    """Return what `ls` says of one file; add its tallies to *told*."""
    row: dict[str, Any] = {"what": "stream", "stream": path.stem, "file": str(path)}
    try:
        row["bytes"] = size_bytes(path)
        state = "open" if is_open(path) else "acknowledged" if is_acknowledged(path) else "closed"
        with StreamFile.open(path) as stream:
            found = stream.summary()
            told[stream.about.life].batches.update(stream.tallies())
            return {
                **row,
                "state": state,
                "life": stream.about.life.hex(),
                "region": stream.about.region,
                "machine": stream.about.machine,
                "created_ms": stream.about.created_ms,
                "batches": found.batches,
                "records": found.records,
                "first_ms": found.first_ms,
                "last_ms": found.last_ms,
                "epochs": stream.epochs(),
            }
    except UNREADABLE as error:
        return {**row, "state": UNREADABLE_STATE, "reason": str(error)}


def count_life(life: Life, tallied: Tallied) -> dict[str, Any]:
    """Return what one life counted, in its meter and in its streams."""
    told = tallied.total()
    accepted, shed, excluded = (
        sum(row.accepted for row in life.meter),
        sum(row.shed for row in life.meter),
        sum(row.excluded for row in life.meter),
    )
    return {
        "what": "life",
        "life": life.id.hex(),
        "worker": life.worker,
        "started_ms": life.started_ms,
        "alive": life.alive,
        "accepted": accepted,
        "recorded": told.recorded,
        "late": told.late,
        "shed": shed,
        "excluded": excluded,
        "tallied": {"shed": told.shed, "excluded": told.excluded},
        # While it lives, what is missing is on its way.
        "lost": None if life.alive else max(accepted - told.recorded, 0),
    }


def look_at_lives(
    folders: Iterable[Path], told: dict[LifeId, Tallied]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the meters say, and those that cannot be read."""
    lives, unreadable = [], []
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{METER_SUFFIX}"))):
        try:
            lives.append(count_life(read_meter(path), told[LifeId(bytes.fromhex(path.stem))]))
        except (ServiceError, ValueError) as error:
            row = {"stream": path.name, "file": str(path), "state": UNREADABLE_STATE}
            unreadable.append({"what": "meter", **row, "reason": str(error)})
    return lives, unreadable


def shown_stream(row: dict[str, Any]) -> dict[str, Any]:
    """Return one stream as a row of the table."""
    return {
        **row,
        "stream": short(row["stream"]) if "life" in row else row["stream"],
        "first": when(row.get("first_ms")),
        "last": when(row.get("last_ms")),
        "epochs": ",".join(map(str, row.get("epochs", ()))) or None,
        "size": f"{row['bytes'] / 1e6:.1f} MB" if "bytes" in row else None,
    }


@click.command(epilog=example("milepost log ls", "milepost log ls /data/log --json"))
@target_argument
@region_option
@json_option
@fleet_option
@click.pass_context
def ls(ctx: click.Context, *, target: str | None, region: str | None, as_json: bool) -> None:
    """Show every stream, and what the meter of each life counted beside its tallies.

    Lost is what a dead life accepted and no stream here holds; streams that were
    retired are not here any more. Exits with 1 when a file cannot be read.
    """
    here: Surroundings = ctx.obj
    targets = find_targets(here, target, region)
    told: dict[LifeId, Tallied] = defaultdict(Tallied)
    streams = [look_at(path, told) for path in targets.files()]
    streams.sort(key=lambda row: row.get("created_ms", 0))
    lives, unreadable = look_at_lives(targets.folders, told)
    streams += unreadable
    if as_json:
        emit_json([*streams, *lives])
    else:
        emit_table(STREAMS, [shown_stream(row) for row in streams], "no streams")
        if lives:
            click.echo()
            emit_table(LIVES, [{**row, "life": short(row["life"])} for row in lives], "")
    if any(row["state"] == UNREADABLE_STATE for row in streams):
        ctx.exit(BAD_NEWS)
