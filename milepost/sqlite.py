"""The only door to SQLite.

SQLite before 3.51.3 loses committed rows when a second process checkpoints,
and litestream is a second process that checkpoints.  So the project brings its
own library: importing this module puts it in the place of the standard
`sqlite3`, before aiosqlite can load that one, and `require_safe_sqlite` refuses
to run on a bad one.  Nothing else imports sqlite3, aiosqlite or pysqlite3.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from milepost.errors import ConfigError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as _bundled
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:  # no wheel for this machine: the guard judges what Python links
        import sqlite3
    else:
        sys.modules["sqlite3"] = _bundled
        sys.modules["sqlite3.dbapi2"] = sqlite3

# A value of these types is otherwise asked in vain, each time it is bound, whether it adapts
# itself: that takes ten times as long as binding it.
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bytes, bytes)

Connection = sqlite3.Connection
Error = sqlite3.Error
IntegrityError = sqlite3.IntegrityError
OperationalError = sqlite3.OperationalError
DamageError = sqlite3.DatabaseError  # malformed, or no database; also the base of the others
VERSION = sqlite3.sqlite_version

BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 8_000

_FIXED = (3, 51, 3)
_BACKPORTS = (((3, 50, 7), (3, 51, 0)), ((3, 44, 6), (3, 45, 0)))
_WITHDRAWN = (3, 52, 0)


def is_safe(version: tuple[int, ...]) -> bool:
    """Tell whether *version* is free of the WAL-reset bug."""
    if version == _WITHDRAWN:
        return False
    return version >= _FIXED or any(low <= version < high for low, high in _BACKPORTS)


def require_safe_sqlite() -> None:
    """Refuse to go on with an SQLite that can lose committed rows."""
    if not is_safe(sqlite3.sqlite_version_info):
        msg = (
            f"SQLite {VERSION} can lose committed rows when litestream checkpoints; "
            "install the package pysqlite3 0.6.1 or newer, or a Python linked to "
            "SQLite 3.51.3 or newer"
        )
        raise ConfigError(msg)


def connect(path: Path) -> Connection:
    """Open *path* for writing, in autocommit: transactions are begun by hand.

    `synchronous=FULL`, because what was committed must survive a power cut.
    Nobody checkpoints by accident: that is decided in one place per database.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "synchronous=FULL",
        "wal_autocheckpoint=0",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "mmap_size=0",
        "trusted_schema=OFF",
        f"cache_size=-{CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def read_only_uri(path: Path) -> str:
    """Return the address under which *path* opens for reading only."""
    return f"file:{quote(str(path))}?mode=ro"


def connect_read_only(path: Path, *, immutable: bool = False) -> Connection:
    """Open *path* for reading.  It never changes or checkpoints anything.

    With *immutable* nothing is made beside it either, and its WAL is not read:
    only for a file that has none and that nobody writes.
    """
    uri = f"{read_only_uri(path)}&immutable=1" if immutable else read_only_uri(path)
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only=ON")
    return connection
