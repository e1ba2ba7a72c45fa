"""Forgetting: streams that are safe elsewhere are unlinked, and nothing else ever is."""

from pathlib import Path

from milepost.clock import Clock
from milepost.logs import get_log
from milepost.vocabulary import Millis
from regional_logger import metrics
from regional_logger.meter import SUFFIX as METER_SUFFIX
from regional_logger.readers import SUFFIX as ACKNOWLEDGED_SUFFIX
from regional_logger.shelf import Shelf
from regional_logger.stream import SUFFIX, is_open, remove_files

log = get_log(__name__)


class Retirement:
    """Unlinks acknowledged streams whose time is over."""

    def __init__(self, shelf: Shelf, clock: Clock, keep_ms: int) -> None:
        self._shelf = shelf
        self._clock = clock
        self._keep_ms = keep_ms

    async def step(self) -> None:
        """Retire what is due, then the meters of lives that have no stream left."""
        folder = self._shelf.folder
        for mark in due(folder, self._clock.now(), self._keep_ms):
            await self._retire(mark)
        contents = await self._shelf.contents()
        with_streams = {head.life for head in contents.heads}
        for life in contents.lives:
            if not life.alive and life.id not in with_streams and not contents.unreadable:
                (folder / f"{life.id.hex()}{METER_SUFFIX}").unlink(missing_ok=True)

    async def _retire(self, mark: Path) -> None:
        path = mark.with_suffix(SUFFIX)
        if is_open(path):  # cannot be: only closed streams are acknowledged to their end
            return
        await self._shelf.forget(path)
        _unlink(path, mark)
        metrics.RETIRED.inc()
        log.info("stream.retired", stream=path.stem)


def _unlink(path: Path, mark: Path) -> None:
    """Remove a stream, its mark last: what a crash leaves of it is removed next time."""
    remove_files(path)
    mark.unlink()


def due(folder: Path, now: Millis, keep_ms: int) -> list[Path]:
    """Return the marks of acknowledged streams that have been kept for long enough."""
    marks = sorted(folder.glob(f"*{ACKNOWLEDGED_SUFFIX}"))
    return [mark for mark in marks if now - mark.stat().st_mtime_ns // 1_000_000 >= keep_ms]
