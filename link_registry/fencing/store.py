"""The SQL of who may write the registry's database, and of its histories."""

from milepost.errors import ConfigError
from milepost.mark.rules import Held
from milepost.sqlite import Connection
from milepost.vocabulary import Position

META = "SELECT history, (SELECT coalesce(max(position), 0) FROM change) FROM meta"
BEGIN = "INSERT INTO meta (history, holder) VALUES (?, ?)"
TAKE = "UPDATE meta SET history = ?, holder = ?"
HOLDER = "SELECT holder FROM meta"
ENDED = "INSERT INTO earlier (history, position) SELECT history, ? FROM meta"
FORGET_OLDEST = """
    DELETE FROM earlier WHERE number <= (SELECT max(number) FROM earlier) - ?
"""
FORGET_EARLIER = "DELETE FROM earlier"
EARLIER = "SELECT history, position FROM earlier"

EARLIER_MAX = 1_000  # starts after which an edge that was away takes a snapshot


def held(db: Connection) -> Held:
    """Return what the database says of itself."""
    row = db.execute(META).fetchone()
    return Held(name=row[0], height=row[1]) if row else Held(name=None, height=0)


def take(db: Connection, history: str, holder: bytes) -> None:
    """Make *holder* the one process that may write, from the next transaction on."""
    if db.execute(TAKE, (history, holder)).rowcount == 0:
        db.execute(BEGIN, (history, holder))


def end_history(db: Connection, height: int) -> None:
    """Have the next history go on from this one, which ends at *height*."""
    db.execute(ENDED, (height,))
    db.execute(FORGET_OLDEST, (EARLIER_MAX,))


def forget_earlier(db: Connection) -> None:
    """Have the next history go on from no other."""
    db.execute(FORGET_EARLIER)


def earlier(db: Connection) -> dict[str, Position]:
    """Return the histories that this one goes on from, and how far each of them got."""
    return {history: Position(position) for history, position in db.execute(EARLIER)}


def require_holder(db: Connection, holder: bytes) -> None:
    """Refuse to write what another process has taken over."""
    if db.execute(HOLDER).fetchone() != (holder,):
        msg = (
            "another link registry has taken over the database of links; "
            "stop one of the two: only one may write it"
        )
        raise ConfigError(msg)
