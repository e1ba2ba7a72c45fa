"""Which files a command is about: a file, a folder, a stream by its id, or the fleet's folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from milepost.cli.group import Surroundings
from milepost.cli.keys_shown import moment
from milepost.cli.output import cell
from milepost.errors import ConfigError
from milepost.fleet import read_fleet
from milepost.stream.files import SUFFIX

SHORT_CHARS = 8  # enough to tell neighbours apart by eye

target_argument = click.argument("target", required=False, metavar="[STREAM|FILE|FOLDER]")
region_option = click.option("--region", help="Only the fleet's folder of this region.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
open_option = click.option(
    "--open",
    "opened",
    is_flag=True,
    help="Open the boxes, with keys from the key server, which notes who asked.",
)


class Targets:
    """The files that were meant: these, or whatever is in these folders when one looks."""

    def __init__(self, *, folders: Sequence[Path] = (), files: Sequence[Path] = ()) -> None:
        self.folders = folders
        self._files = files

    def files(self) -> list[Path]:
        """Return the streams that are there now."""
        found = (path for folder in self.folders for path in sorted(folder.glob(f"*{SUFFIX}")))
        return [*self._files, *found]


def find_targets(here: Surroundings, target: str | None, region: str | None) -> Targets:
    """Return what *target* names; nothing means the log of the fleet."""
    if target is None:
        return Targets(folders=fleet_folders(here, region))
    path = Path(target)
    if path.exists() and region is not None:
        msg = "--region picks a folder of the fleet: it does not go together with a path"
        raise click.UsageError(msg)
    if path.is_dir():
        return Targets(folders=[_log_in(path)])
    if path.exists():
        return Targets(files=[path])
    return _one_stream(Targets(folders=fleet_folders(here, region)), target)


def fleet_folders(here: Surroundings, region: str | None) -> list[Path]:
    """Return where the fleet's edges keep their logs."""
    regions = read_fleet(here.fleet).regions
    folders = [Path(each.log_dir) for each in regions if region in {None, each.region}]
    if not folders:
        known = ", ".join(each.region for each in regions)
        msg = f"the fleet has no region {region!r}; it has {known}"
        raise ConfigError(msg)
    return folders


def complain(path: Path, reason: str) -> None:
    """Say on standard error what is wrong with one file."""
    click.echo(cell(f"milepost: {path}: {reason}"), err=True)


def short(stream: str) -> str:
    """Return as much of a stream's id as people need."""
    return stream[:SHORT_CHARS]


def when(moment_ms: Any) -> str | None:
    """Return a moment out of a file as people write it; damage may have made it anything."""
    try:
        return moment(moment_ms)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _one_stream(everything: Targets, prefix: str) -> Targets:
    found = [path for path in everything.files() if path.name.startswith(prefix)]
    if not found:
        msg = f"{prefix!r} is no file, no folder, and no stream of the fleet"
        raise ConfigError(msg)
    if len(found) > 1:
        msg = f"{len(found)} streams begin with {prefix!r}: give more of the id"
        raise ConfigError(msg)
    return Targets(files=found)


def _log_in(folder: Path) -> Path:
    """Return the log's folder also for who names the edge's whole data folder."""
    inner = folder / "log"
    return inner if inner.is_dir() else folder
