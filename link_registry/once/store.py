"""The SQL of calls that happen once: what one did and its answer are one transaction.

So a call that is repeated because its answer was lost gets that answer, and nothing
happens again.  Only what changed something is remembered.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from link_registry.store import LinkStore
from milepost.errors import ConflictError, UnavailableError
from milepost.sqlite import Connection, IntegrityError
from milepost.vocabulary import Millis

KEEP_MS = 24 * 60 * 60 * 1_000

KNOWN = "SELECT digest, answer FROM call WHERE name = ? AND who = ? AND key = ? AND at_ms > ?"

FORGET_OLD = """
    DELETE FROM call
     WHERE at_ms <= ?
        OR (name = ? AND number <= (SELECT number FROM call WHERE name = ?
                                     ORDER BY number DESC LIMIT 1 OFFSET ?))
"""

FORGET = "DELETE FROM call WHERE name = ? AND who = ? AND key = ?"

REMEMBER = "INSERT INTO call (name, who, key, digest, answer, at_ms) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before it is looked into."""

    name: str  # as in the table of calls; a key means another thing in each
    who: str
    key: str  # empty: it is not remembered
    digest: bytes  # of its body
    now: Millis
    kept_max: int  # remembered of this name, whoever made them: the oldest goes first


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to a call, and whether anything of it is to stay."""

    answer: bytes
    keep: bool
    refused: bool = False


class UndoneError(Exception):
    """Nothing of a call is to stay; it carries what came of it out of its transaction."""

    def __init__(self, done: Done) -> None:
        super().__init__()
        self.done = done


async def once(store: LinkStore, call: Call, work: Callable[[Connection], Done]) -> Done:
    """Do *work* in one transaction and return its answer, or the one that is remembered."""

    def transaction(db: Connection) -> Done:
        known = _known(db, call)
        if known is not None:
            return Done(known, keep=True)
        done = work(db)
        if not done.keep:
            raise UndoneError(done)
        _remember(db, call, done.answer)
        return done

    try:
        return await store.change(transaction)
    except UndoneError as undone:
        return undone.done
    except IntegrityError as error:  # all else is looked at before, so it is an id
        msg = "an id that was drawn is in use; ask again"
        raise UnavailableError(msg) from error


def _known(db: Connection, call: Call) -> bytes | None:
    values = (call.name, call.who, call.key, call.now - KEEP_MS)
    row = db.execute(KNOWN, values).fetchone() if call.key else None
    if row is None:
        return None
    if row[0] != call.digest:
        msg = "Idempotency-Key: this key came with another body; take a new one"
        raise ConflictError(msg)
    return zlib.decompress(row[1])


def _remember(db: Connection, call: Call, answer: bytes) -> None:
    if not call.key:
        return
    db.execute(FORGET_OLD, (call.now - KEEP_MS, call.name, call.name, call.kept_max - 1))
    db.execute(FORGET, (call.name, call.who, call.key))
    packed = zlib.compress(answer, 1)
    db.execute(REMEMBER, (call.name, call.who, call.key, call.digest, packed, call.now))
