"""The SQL of who may write the combined database, and of its generation."""

from aggregator.fencing.rules import Applied
from milepost.database import Readers
from milepost.errors import ConfigError
from milepost.sqlite import Connection
from milepost.vocabulary import Generation

META = "SELECT generation, (SELECT coalesce(max(id), 0) FROM applied) FROM meta"
APPLIED = "SELECT coalesce(max(id), 0) FROM applied"
BEGIN = "INSERT INTO meta (generation, holder) VALUES (?, ?)"
TAKE = "UPDATE meta SET generation = ?, holder = ?"
RAISE = "UPDATE meta SET generation = ?"
HOLDER = "SELECT holder FROM meta"


def applied(db: Connection) -> Applied:
    """Return what the database says of itself."""
    row = db.execute(META).fetchone()
    if row is None:
        return Applied(generation=None, batch=0)
    return Applied(generation=Generation(row[0]), batch=row[1])


def take(db: Connection, generation: Generation, holder: bytes) -> None:
    """Make *holder* the one process that may write, from the next transaction on."""
    if db.execute(TAKE, (generation, holder)).rowcount == 0:
        db.execute(BEGIN, (generation, holder))


def set_generation(db: Connection, generation: Generation) -> None:
    """Begin *generation*."""
    db.execute(RAISE, (generation,))


def require_holder(db: Connection, holder: bytes) -> None:
    """Refuse to write what another process has taken over."""
    if db.execute(HOLDER).fetchone() != (holder,):
        msg = (
            "another aggregator has taken over the combined database; "
            "stop one of the two: only one may write it"
        )
        raise ConfigError(msg)


async def last_applied(readers: Readers) -> int:
    """Return the highest number of a batch that is durable."""
    (found,) = await readers.row(APPLIED) or (0,)
    return int(found)
