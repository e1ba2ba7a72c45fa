"""The SQL of calls that happen once: what one did is remembered in the transaction that did it.

So a call that is repeated because its answer was lost gets that answer, and nothing
happens again.  Only what changed something is remembered.

A long call is done in parts, each of which is one transaction.  What holds between two
of them: everything is as the parts so far have left it, and what came of them is there
too.  So a call that was cut, and is made again under its key, goes on where it ended;
and two that are made at the same time do each part once between them.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from link_registry.store import LinkStore
from milepost.errors import ConflictError, UnavailableError
from milepost.sqlite import Connection, IntegrityError
from milepost.tokens import Principal
from milepost.vocabulary import Millis

KEEP_MS = 24 * 60 * 60 * 1_000

CALL = "SELECT number, digest FROM call WHERE name = ? AND who = ? AND key = ? AND at_ms > ?"

PARTS = "SELECT upto, answer FROM call_part WHERE call = ? AND upto > ? ORDER BY upto"

FORGET_OLD = """
    DELETE FROM call
     WHERE at_ms <= ?
        OR (name = ? AND number <= (SELECT number FROM call WHERE name = ?
                                     ORDER BY number DESC LIMIT 1 OFFSET ?))
"""

FORGET = "DELETE FROM call WHERE name = ? AND who = ? AND key = ?"

REMEMBER = "INSERT INTO call (name, who, key, digest, at_ms) VALUES (?, ?, ?, ?, ?)"

REMEMBER_PART = "INSERT INTO call_part (call, upto, answer) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before anything of it is done."""

    name: str  # as in the table of calls; a key means another thing in each
    who: Principal
    key: str  # empty: it is not remembered
    digest: bytes  # of its body
    now: Millis
    kept_max: int  # remembered of this name, whoever made them: the oldest goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of a call, done."""

    upto: int  # how far the call is done with it
    answer: bytes
    changed: int = 0  # how many things were changed in this process


class UndoneError(Exception):
    """Nothing of a part is to stay; it carries what came of it out of its transaction."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


async def once(store: LinkStore, call: Call, work: Callable[[Connection], bytes]) -> bytes:
    """Do *work* in one transaction and return its answer, or the one that is remembered."""
    (part,) = await next_parts(store, call, 0, lambda db: Part(upto=1, answer=work(db)))
    return part.answer


async def next_parts(
    store: LinkStore, call: Call, done: int, work: Callable[[Connection], Part]
) -> list[Part]:
    """Return what is remembered of *call* behind *done*, or else do *work*, the next part.

    UndoneError from *work* undoes it.
    """

    def transaction(db: Connection) -> list[Part]:
        number = _number(db, call)
        kept = [] if number is None else _parts(db, number, done)
        if kept:
            return kept
        part = work(db)
        # One that began to be remembered and is not any more had to make room for others.
        if number is None and call.key and not done:
            number = _remember(db, call)
        if number is not None:
            db.execute(REMEMBER_PART, (number, part.upto, zlib.compress(part.answer, 1)))
        return [part]

    try:
        return await store.change(transaction)
    except IntegrityError as error:  # all else is looked at before, so it is an id
        msg = "an id that was drawn is in use; ask again"
        raise UnavailableError(msg) from error


def _number(db: Connection, call: Call) -> int | None:
    if not call.key:
        return None
    values = (call.name, call.who.name, call.key, call.now - KEEP_MS)
    row = db.execute(CALL, values).fetchone()
    if row is None:
        return None
    number, digest = row
    if digest != call.digest:
        msg = "Idempotency-Key: this key came with another body; take a new one"
        raise ConflictError(msg)
    return int(number)


def _parts(db: Connection, number: int, done: int) -> list[Part]:
    rows = db.execute(PARTS, (number, done)).fetchall()
    return [Part(upto=upto, answer=zlib.decompress(answer)) for upto, answer in rows]


def _remember(db: Connection, call: Call) -> int | None:
    db.execute(FORGET_OLD, (call.now - KEEP_MS, call.name, call.name, call.kept_max - 1))
    db.execute(FORGET, (call.name, call.who.name, call.key))
    values = (call.name, call.who.name, call.key, call.digest, call.now)
    return db.execute(REMEMBER, values).lastrowid
