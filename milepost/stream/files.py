"""Where a stream lies, what lies beside it, and whether somebody still writes it."""

import fcntl
import os
from pathlib import Path

from milepost.vocabulary import StreamId

SUFFIX, LOCK_SUFFIX = ".db", ".lock"
ACKNOWLEDGED_SUFFIX = ".acknowledged"


def path_of(folder: Path, stream: StreamId) -> Path:
    """Return where *stream* lies in *folder*."""
    return folder / f"{stream.hex()}{SUFFIX}"


def wal_of(path: Path) -> Path:
    """Return where the WAL of the stream at *path* lies."""
    return path.with_name(f"{path.name}-wal")


def size_bytes(path: Path) -> int:
    """Return how much the stream at *path* takes on disk, the WAL included."""
    return sum(each.stat().st_size for each in (path, wal_of(path)) if each.exists())


def is_unborn(path: Path) -> bool:
    """Tell whether the stream at *path* has nothing in it yet, not even its own row."""
    return path.stat().st_size == 0


def is_open(path: Path) -> bool:
    """Tell whether the stream at *path* still has its writer."""
    try:
        descriptor = os.open(path.with_suffix(LOCK_SUFFIX), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_acknowledged(path: Path) -> bool:
    """Tell whether an aggregator has said that the whole stream is safe."""
    return path.with_suffix(ACKNOWLEDGED_SUFFIX).exists()
