"""The meter: counts that survive a killed process and a full disk.

One preallocated, memory-mapped page per life.  A visit is counted before it is
answered, by writing eight bytes to memory; the kernel keeps them whatever
becomes of the process.  What a dead life's meter holds beyond the tallies of
its streams died uncommitted.  milepost.stream.meter has its form, and reads it.

On a disk that takes no file the page is plain memory, because visitors come
first, and moves to disk as soon as there is room.
"""

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from milepost.batch import hour_of
from milepost.logs import get_log
from milepost.stream.meter import HEADER, MAGIC, ROW, SUFFIX
from milepost.vocabulary import LifeId, Millis

log = get_log(__name__)

HOURS = 500  # twenty days in 16 KB; then the oldest, told long ago, make room

_COUNT = struct.Struct("<Q")
_ACCEPTED_AT, _SHED_AT, _EXCLUDED_AT = 8, 16, 24


@dataclass(frozen=True, slots=True)
class LifeInfo:
    """Who is writing."""

    id: LifeId
    worker: int
    started_ms: Millis


class Meter:
    """The meter of the life that is running."""

    def __init__(self, folder: Path, life: LifeInfo) -> None:
        self.life = life
        self.path = folder / f"{life.id.hex()}{SUFFIX}"
        self._descriptor: int | None = None
        self._map = mmap.mmap(-1, HEADER.size + HOURS * ROW.size)
        HEADER.pack_into(self._map, 0, MAGIC, life.id, life.worker, life.started_ms)
        self._row_at = HEADER.size - ROW.size
        self._hour = -1
        self.keep()

    def keep(self) -> None:
        """Move the page to disk, if it is not there and there is room."""
        if self._descriptor is not None:
            return
        try:
            descriptor, kept = _preallocated(self.path, len(self._map))
        except OSError as error:
            log.warning("meter.not_kept", reason=error.strerror)
            return
        kept[:] = self._map[:]
        self._map.close()
        self._descriptor, self._map = descriptor, kept

    def accept(self, now: Millis) -> None:
        """Count a visit whose record is taken in."""
        self._add(now, _ACCEPTED_AT)

    def shed(self, now: Millis) -> None:
        """Count a visit that is answered but not kept."""
        self._add(now, _SHED_AT)

    def exclude(self, now: Millis) -> None:
        """Count a visit that is by rule not recorded."""
        self._add(now, _EXCLUDED_AT)

    def close(self) -> None:
        """End the life.  The page stays."""
        self._map.close()
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _add(self, now: Millis, offset: int) -> None:
        hour = hour_of(now)
        if hour != self._hour:
            self._open_row(hour)
        at = self._row_at + offset
        _COUNT.pack_into(self._map, at, _COUNT.unpack_from(self._map, at)[0] + 1)

    def _open_row(self, hour: int) -> None:
        """Find the row of *hour*, or take an unused one, or that of the oldest hour."""
        places = range(HEADER.size, len(self._map), ROW.size)
        hours = [_COUNT.unpack_from(self._map, at)[0] for at in places]
        if hour not in hours:  # unused rows are hour 0, the least of all
            at = places[hours.index(min(hours))]
            ROW.pack_into(self._map, at, hour, 0, 0, 0)
        else:
            at = places[hours.index(hour)]
        self._row_at, self._hour = at, hour


def _preallocated(path: Path, size: int) -> tuple[int, mmap.mmap]:
    """Return a new file with room for *size* bytes, and its mapping."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        # Held for as long as the life lasts: that is how others know it does.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.posix_fallocate(descriptor, 0, size)  # writing to it later needs no room
        return descriptor, mmap.mmap(descriptor, size)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
