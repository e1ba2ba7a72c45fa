"""Forgetting: what is safe elsewhere is unlinked, and nothing else ever is.

A stream goes when it has been acknowledged to its end for as long as it is to
be kept; a meter when its life's last counts have been, and no stream of that
life is left.  What never held a batch because its creation was cut short goes
at once.
"""

import contextlib
from pathlib import Path

from milepost import sqlite
from milepost.clock import Clock
from milepost.logs import get_log
from milepost.stream.files import ACKNOWLEDGED_SUFFIX, SUFFIX, is_open
from milepost.stream.meter import SUFFIX as METER_SUFFIX
from milepost.stream.store import STREAM
from milepost.vocabulary import LifeId, Millis
from regional_logger import metrics
from regional_logger.readers import end_text
from regional_logger.shelf import Shelf
from regional_logger.stream import remove_files

log = get_log(__name__)


class Retirement:
    """Unlinks what is acknowledged and whose time is over."""

    def __init__(self, shelf: Shelf, clock: Clock, keep_ms: int) -> None:
        self._shelf = shelf
        self._clock = clock
        self._keep_ms = keep_ms

    async def step(self, *, early: bool = False) -> bool:
        """Retire what is due: streams first, then the meters of lives that have none left.

        With *early*, whatever is acknowledged is due.  Tell whether a stream has gone.
        """
        keep_ms = 0 if early else self._keep_ms
        marks = due(self._shelf.folder, self._clock.now(), keep_ms)
        ends = {head.id.hex(): end_text(head) for head in (await self._shelf.contents()).heads}
        gone = [await self._retire_stream(mark, ends.get(mark.stem)) for mark in marks]
        heads = (await self._shelf.contents()).heads
        retire_meters(marks, {head.life for head in heads})
        return any(gone)

    async def _retire_stream(self, mark: Path, end: str | None) -> bool:
        path = mark.with_suffix(SUFFIX)
        if not _exists(path) or is_open(path):
            return False
        await self._shelf.forget(path)
        # Nothing is waited for from here on: a newer aggregator may void the mark meanwhile.
        if not _is_about(mark, end):
            _forget(mark)
            log.warning("acknowledgement.void", stream=path.stem)
            return False
        _unlink(path, mark)
        metrics.RETIRED.inc()
        log.info("stream.retired", stream=path.stem)
        return True


def due(folder: Path, now: Millis, keep_ms: int) -> list[Path]:
    """Return the marks of what has been kept for long enough since its acknowledgement."""
    marks = sorted(folder.glob(f"*{ACKNOWLEDGED_SUFFIX}"))
    return [mark for mark in marks if now - mark.stat().st_mtime_ns // 1_000_000 >= keep_ms]


def retire_meters(marks: list[Path], with_streams: set[LifeId]) -> None:
    """Unlink the meters among *marks* whose life has no stream any more; also stray marks.

    A mark that is there no longer was voided since: it says nothing.
    """
    for mark in marks:
        meter = mark.with_suffix(METER_SUFFIX)
        marked = mark.exists() and meter.exists()
        if marked and LifeId(bytes.fromhex(meter.stem)) not in with_streams:
            meter.unlink()
            log.info("meter.retired", life=meter.stem)
        if not meter.exists() and not mark.with_suffix(SUFFIX).exists():
            mark.unlink(missing_ok=True)


def remove_stillborn(folder: Path) -> None:
    """Remove files that were to become streams when their process died.

    A stream begins with a row about itself, in a file that has left its rollback
    journal behind; before that, nothing can be in it.
    """
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with contextlib.suppress(OSError):  # what cannot be removed now is looked at again
            if not is_open(path) and _is_stillborn(path):
                remove_files(path)
                log.info("stream.never_begun", stream=path.stem)


def _is_stillborn(path: Path) -> bool:
    if path.stat().st_size == 0 or path.with_name(f"{path.name}-journal").exists():
        return True
    try:
        connection = sqlite.connect_read_only(path)
    except sqlite.Error:
        return False
    try:
        return connection.execute(STREAM).fetchone() is None
    except sqlite.Error:  # damaged, or no stream at all: not ours to remove
        return False
    finally:
        connection.close()


def _exists(path: Path) -> bool:
    return path.exists()


def _forget(mark: Path) -> None:
    mark.unlink(missing_ok=True)


def _is_about(mark: Path, end: str | None) -> bool:
    """Tell whether *mark* is there, and about that *end*, or about whatever lies there.

    A file without an *end* was acknowledged, and cannot be read any more.
    """
    try:
        told = mark.read_text()
    except (OSError, ValueError):
        return False
    return end is None or told in ("", end)


def _unlink(path: Path, mark: Path) -> None:
    """Remove a stream, its mark last: what a crash leaves of it is removed next time."""
    remove_files(path)
    mark.unlink()
