"""What to do while the disk fills, in this order, until there is room again.

1. Streams that are acknowledged go early; the open one is closed, so that it
   can be acknowledged and go too.
2. What litestream has staged for streams that are closed goes: they are handed
   over from the files themselves.
3. What still does not fit is shed by the journal, and counted.

Redirects go on through all of it.
"""

import shutil
from pathlib import Path
from typing import Protocol

from milepost.clock import Clock
from milepost.logs import get_log
from milepost.stream.files import SUFFIX, is_open
from milepost.vocabulary import Millis
from regional_logger.metrics import DISK_USED
from regional_logger.retire import Retirement

log = get_log(__name__)

TURN_OVER_EVERY_MS = 60_000
STAGING_SUFFIX = f"{SUFFIX}-litestream"


class Writing(Protocol):
    """Whoever writes streams: this process's journal, or all workers."""

    def turn_over(self) -> None:
        """Close the open stream and begin the next."""


class Pressure:
    """Watches the disk under the log."""

    def __init__(
        self,
        folder: Path,
        *,
        journal: Writing,
        retirement: Retirement,
        clock: Clock,
        high_ratio: float,
    ) -> None:
        self._folder = folder
        self._journal, self._retirement = journal, retirement
        self._clock = clock
        self._high_ratio = high_ratio
        self._turned_over = Millis(0)

    async def step(self) -> None:
        """Look at the disk, and make room if it is too full."""
        used = used_ratio(self._folder)
        DISK_USED.set(used)
        if used < self._high_ratio:
            return
        log.warning("disk.filling", used_percent=round(used * 100))
        if await self._retirement.step(early=True):
            return
        drop_staging(self._folder)
        now = self._clock.now()
        if now - self._turned_over >= TURN_OVER_EVERY_MS:
            self._turned_over = now
            self._journal.turn_over()


def used_ratio(folder: Path) -> float:
    """Return how full the disk under *folder* is for those who are not root."""
    usage = shutil.disk_usage(folder)
    return 1 - usage.free / usage.total


def drop_staging(folder: Path) -> None:
    """Remove what litestream has staged for streams that are no longer written."""
    for staging in folder.glob(f".*{STAGING_SUFFIX}"):
        stream = folder / staging.name.removeprefix(".").removesuffix("-litestream")
        if not is_open(stream):
            shutil.rmtree(staging, ignore_errors=True)
