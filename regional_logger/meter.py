"""The meter: counts that survive a killed process and a full disk.

One preallocated, memory-mapped page per life.  A visit is counted before it is
answered, by writing eight bytes to memory; the kernel keeps them whatever
becomes of the process.  What a dead life's meter holds beyond the tallies of
its streams died uncommitted.

    header  "MPMETER1" life(16) worker(8) started_ms(8)
    rows    hour_ms(8) accepted(8) shed(8) excluded(8), unused ones all zero
"""

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from milepost.batch import ID_BYTES, hour_of
from milepost.errors import UnavailableError
from milepost.vocabulary import LifeId, Millis
from milepost.wire import Life, MeterRow

MAGIC = b"MPMETER1"
HEADER = struct.Struct("<8s16sQQ")
ROW = struct.Struct("<QQQQ")
HOURS_AT_FIRST = 500  # twenty days in 16 KB; grows by as much when they are over
SUFFIX = ".meter"

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
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        # Held for as long as the life lasts: that is how others know it does.
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        size = HEADER.size + HOURS_AT_FIRST * ROW.size
        os.posix_fallocate(self._descriptor, 0, size)  # so that a full disk cannot stop it
        self._map = mmap.mmap(self._descriptor, size)
        HEADER.pack_into(self._map, 0, MAGIC, life.id, life.worker, life.started_ms)
        self._row_at = HEADER.size - ROW.size
        self._hour = -1

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
        os.close(self._descriptor)

    def _add(self, now: Millis, offset: int) -> None:
        hour = hour_of(now)
        if hour != self._hour:
            self._open_row(hour)
        at = self._row_at + offset
        _COUNT.pack_into(self._map, at, _COUNT.unpack_from(self._map, at)[0] + 1)

    def _open_row(self, hour: int) -> None:
        """Find the row of *hour*, or begin it behind the last one."""
        at = HEADER.size
        while at < len(self._map):
            (found,) = _COUNT.unpack_from(self._map, at)
            if found in (hour, 0):
                break
            at += ROW.size
        else:
            size = len(self._map) + HOURS_AT_FIRST * ROW.size
            os.posix_fallocate(self._descriptor, 0, size)
            self._map.resize(size)
        _COUNT.pack_into(self._map, at, hour)
        self._row_at, self._hour = at, hour


def read_meter(path: Path) -> Life:
    """Return what the meter at *path* holds, and whether its life still runs."""
    try:
        with path.open("rb") as file:
            content = file.read()
            alive = _is_locked(file.fileno())
        magic, life, worker, started_ms = HEADER.unpack_from(content)
    except (OSError, struct.error) as error:
        msg = f"{path.name}: cannot be read as a meter"
        raise UnavailableError(msg) from error
    if magic != MAGIC or life.hex() != path.name.removesuffix(SUFFIX):
        msg = f"{path.name}: not a meter"
        raise UnavailableError(msg)
    rows = ROW.iter_unpack(content[HEADER.size : len(content) - (len(content) - HEADER.size) % 32])
    return Life(
        id=LifeId(life[:ID_BYTES]),
        worker=worker,
        started_ms=Millis(started_ms),
        alive=alive,
        meter=tuple(MeterRow(*row) for row in rows if row[0]),
    )


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
