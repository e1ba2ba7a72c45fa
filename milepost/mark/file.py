"""The mark: a small file beside a database, and never replicated with it."""

from dataclasses import asdict
from pathlib import Path

import orjson

from milepost.files import put_in_place
from milepost.logs import get_log
from milepost.mark.rules import Mark

log = get_log(__name__)

SUFFIX = ".mark"


def mark_path(database: Path) -> Path:
    """Return where the mark of *database* lies."""
    return database.with_suffix(SUFFIX)


def file_number(database: Path) -> int:
    """Return what the file system calls *database*: a copy of it has another number."""
    return database.stat().st_ino


def read_mark(database: Path) -> Mark | None:
    """Return the mark of *database*; None if there is none that can be read."""
    try:
        told = orjson.loads(mark_path(database).read_bytes())
        return Mark(
            name=str(told["name"]),
            machine=str(told["machine"]),
            file=int(told["file"]),
            height=int(told["height"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("mark.unreadable", reason=type(error).__name__)
        return None


def write_mark(database: Path, mark: Mark) -> None:
    """Put *mark* in the place of the one before, whole or not at all."""
    put_in_place(mark_path(database), orjson.dumps(asdict(mark)))
