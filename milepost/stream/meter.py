"""Reading the meter of a life: what it counted, whether or not it still runs.

header  "MPMETER1" life(16) worker(8) started_ms(8)
rows    hour_ms(8) accepted(8) shed(8) excluded(8), unused ones all zero
"""

import fcntl
import struct
from pathlib import Path

from milepost.errors import UnavailableError
from milepost.vocabulary import LifeId, Millis
from milepost.wire import Life, MeterRow

MAGIC = b"MPMETER1"
HEADER = struct.Struct("<8s16sQQ")
ROW = struct.Struct("<QQQQ")
SUFFIX = ".meter"


def read_meter(path: Path) -> Life:
    """Return what the meter at *path* holds, and whether its life still runs."""
    try:
        with path.open("rb") as file:
            alive = _is_locked(file.fileno())  # asked first: what has ended counts no more
            content = file.read()
        magic, life, worker, started_ms = HEADER.unpack_from(content)
    except (OSError, struct.error) as error:
        msg = f"{path.name}: cannot be read as a meter"
        raise UnavailableError(msg) from error
    if magic != MAGIC or life.hex() != path.name.removesuffix(SUFFIX):
        msg = f"{path.name}: not a meter"
        raise UnavailableError(msg)
    whole = len(content) - (len(content) - HEADER.size) % ROW.size
    rows = ROW.iter_unpack(content[HEADER.size : whole])
    return Life(
        id=LifeId(life),
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
