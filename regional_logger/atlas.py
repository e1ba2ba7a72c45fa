"""The geo files: read whole into memory, asked once for each visit, changed as a whole.

A file is copied before it is asked.  Mapped from where it lies it would take less
memory, but whoever writes over it in place would change answers under way, and
whoever cuts it short would end the process.

Rules of this file:
- No address is kept, logged, or part of an error; the library's own errors name it.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import maxminddb

from milepost.errors import RejectedError
from milepost.logs import get_log
from regional_logger import metrics
from regional_logger.place import NOWHERE, Place, combined, place_in

log = get_log(__name__)

BYTES_MAX = 512 << 20  # each process holds a copy of its own
CHUNK_BYTES = 1 << 20
IPV4 = 4

# Some of everywhere: a file that fails for one of them is damaged.
PROBES_IPV4 = tuple(f"{number}.{number ^ 0x55}.0.1" for number in range(256))
PROBES_IPV6 = tuple(f"2{number:02x}0:{number:x}::1" for number in range(256))

# The library's part in C reads nothing but named files, and Linux has files that are memory.
IN_C = sys.platform == "linux" and find_spec("maxminddb.extension") is not None

Stamp = tuple[int, ...]


class Look(NamedTuple):
    """What a look at a file has brought: a reader, or why there is none."""

    stamp: Stamp
    reader: maxminddb.Reader | None = None
    fault: str = ""


class GeoFile:
    """One file, and the newest of its states that could be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fault = ""  # what is wrong with the file as it is now
        self.stamp: Stamp | None = None
        self._reader: maxminddb.Reader | None = None
        self._ipv4_only = self._failed = False

    def place_of(self, address: str) -> Place:
        """Return what the file says about *address*."""
        if self._reader is None or (self._ipv4_only and ":" in address):
            return NOWHERE
        try:
            return place_in(self._reader.get(address))
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the visit is recorded without
            metrics.PLACE_ERRORS.inc()
            if not self._failed:
                self._failed = True
                log.warning("place.failed", file=str(self.path), error=type(error).__name__)
            return NOWHERE

    def take(self, look: Look) -> None:
        """Go on with what *look* has brought; what is in use stays when that is nothing."""
        self.stamp, self.fault = look.stamp, look.fault
        if look.reader is None:
            held = self._reader is not None
            log.warning(
                "geo_file.refused", file=str(self.path), reason=look.fault, older_in_use=held
            )
            return
        about = look.reader.metadata()
        self._ipv4_only, self._failed = about.ip_version == IPV4, False
        self._reader = look.reader
        log.info("geo_file.loaded", file=str(self.path), built_seconds=about.build_epoch)


class Atlas:
    """All geo files of an edge."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._files = [GeoFile(path) for path in paths]

    def find(self, address: str) -> Place:
        """Return what the files know of *address*."""
        return combined([file.place_of(address) for file in self._files])

    async def refresh(self) -> None:
        """Take in every file that has changed."""
        for file in self._files:
            found = await asyncio.to_thread(look_at, file.path, file.stamp)
            if found is not None:
                file.take(found)
        metrics.GEO_FILES_REFUSED.set(sum(bool(file.fault) for file in self._files))


def look_at(path: Path, seen: Stamp | None, *, in_c: bool = IN_C) -> Look | None:
    """Return what there is at *path*, or None if it is as *seen* or just being written."""
    stamp = _stamp(path)
    if stamp == seen:
        return None
    try:
        found = Look(stamp, reader=_open(path, in_c=in_c))
    except OSError as error:
        found = Look(stamp, fault=error.strerror or type(error).__name__)
    except RejectedError as error:
        found = Look(stamp, fault=str(error))
    except Exception as error:  # noqa: BLE001 - a damaged file may break the library anywhere
        found = Look(stamp, fault=f"no MMDB file, or damaged ({type(error).__name__})")
    return found if _stamp(path) == stamp else None


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _open(path: Path, *, in_c: bool) -> maxminddb.Reader:
    size = path.stat().st_size
    if not path.is_file() or size > BYTES_MAX:
        msg = f"want a file of at most {BYTES_MAX >> 20} MiB"
        raise RejectedError(msg)
    if in_c:
        reader = _open_copy(path, size)
    else:
        reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
    ipv4_only = reader.metadata().ip_version == IPV4
    for probe in PROBES_IPV4 if ipv4_only else PROBES_IPV4 + PROBES_IPV6:
        place_in(reader.get(probe))
    return reader


def _open_copy(path: Path, size: int) -> maxminddb.Reader:
    copy = os.memfd_create("geo")
    try:
        with path.open("rb") as file, open(copy, "wb", closefd=False) as memory:
            while size > 0 and (chunk := file.read(min(size, CHUNK_BYTES))):
                memory.write(chunk)
                size -= len(chunk)
        return maxminddb.open_database(f"/proc/self/fd/{copy}", maxminddb.MODE_MMAP_EXT)
    finally:
        os.close(copy)  # what is mapped stays
