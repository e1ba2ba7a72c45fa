"""The ban file: hosts that prefixes never lead to, read again whenever it changes.

It comes after the visitor: whatever is wrong with the file, redirects go on.
One that is absent, unreadable or too large leaves the list as it was.  One with
lines that make no sense can only add to it, as nobody knows what they should
have said: its good lines count, and so do those of the last file without fault.
"""

import asyncio
import os
import stat
from pathlib import Path
from typing import NamedTuple

from milepost.logs import get_log
from regional_logger.targets import HostList, read_lines

log = get_log(__name__)

LOOK_SECONDS = 2.0
FILE_BYTES_MAX = 1_000_000  # some 50,000 hosts
FAULTS_SHOWN_MAX = 10


class Stamp(NamedTuple):
    """What tells one content of a file from another."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class BanFile:
    """The list in force, and the file that it comes from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._trouble = ""
        self._good = HostList()  # of the last file without fault
        self._hosts = HostList()

    def holds(self, name: str) -> bool:
        """Tell whether *name*, which is canonical, is banned."""
        return self._hosts.holds(name)

    async def step(self) -> None:
        """Look whether the file has changed, beside the loop."""
        await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the file if it has changed; what is wrong with it is told once."""
        try:
            text = self._read()
        except (OSError, ValueError) as error:
            self._stamp = None
            self._tell(error.strerror or "" if isinstance(error, OSError) else str(error))
            return
        self._trouble = ""
        if text is not None:
            self._take(text)

    def _read(self) -> str | None:
        """Return what is in the file, or None if nothing has changed since it was taken."""
        found = self._path.stat()
        if _stamp(found) == self._stamp:
            return None
        if not stat.S_ISREG(found.st_mode):
            msg = "not a file"  # reading from a pipe could take for ever
            raise ValueError(msg)
        with self._path.open("rb") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            msg = f"larger than {FILE_BYTES_MAX} bytes"
            raise ValueError(msg)
        # Only now, so that a file that could not be read is read again.
        self._stamp = stamp
        return content.decode("utf-8", "replace")

    def _take(self, text: str) -> None:
        hosts, faults = read_lines(text)
        if faults:
            self._hosts = self._good | hosts
            shown = list(faults[:FAULTS_SHOWN_MAX])
            log.warning("bans.bad_lines", file=str(self._path), count=len(faults), lines=shown)
        else:
            self._good = self._hosts = hosts
        log.info("bans.taken", hosts=len(self._hosts))

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("bans.not_read", file=str(self._path), reason=trouble)


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
