"""The SQL of who may write the registry's database, and of its history."""

from milepost.errors import ConfigError
from milepost.mark.rules import Held
from milepost.sqlite import Connection

META = "SELECT history, (SELECT coalesce(max(position), 0) FROM change) FROM meta"
BEGIN = "INSERT INTO meta (history, holder) VALUES (?, ?)"
TAKE = "UPDATE meta SET history = ?, holder = ?"
RENAME = "UPDATE meta SET history = ?"
HOLDER = "SELECT holder FROM meta"


def held(db: Connection) -> Held:
    """Return what the database says of itself."""
    row = db.execute(META).fetchone()
    return Held(name=row[0], height=row[1]) if row else Held(name=None, height=0)


def take(db: Connection, history: str, holder: bytes) -> None:
    """Make *holder* the one process that may write, from the next transaction on."""
    if db.execute(TAKE, (history, holder)).rowcount == 0:
        db.execute(BEGIN, (history, holder))


def set_history(db: Connection, history: str) -> None:
    """Begin *history*."""
    db.execute(RENAME, (history,))


def require_holder(db: Connection, holder: bytes) -> None:
    """Refuse to write what another process has taken over."""
    if db.execute(HOLDER).fetchone() != (holder,):
        msg = (
            "another link registry has taken over the database of links; "
            "stop one of the two: only one may write it"
        )
        raise ConfigError(msg)
