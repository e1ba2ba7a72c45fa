"""The SQL of bulk calls: what each did is remembered by its key in the transaction that did it.

A call is done in parts, each of which is one transaction.  What holds between two of
them: the links are as the parts so far have left them, and their results are there
too.  So a call that was cut, and is made again under its key, goes on where it ended;
and two that are made at the same time do each part once between them.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from link_registry.changing.store import (
    add_link,
    link_at,
    link_with_id,
    remove_link,
    replace_link,
)
from link_registry.entries import Entry
from link_registry.policy import Policy
from link_registry.store import LinkStore
from milepost.errors import ConflictError, UnavailableError
from milepost.sqlite import Connection, IntegrityError
from milepost.vocabulary import Millis

KEEP_MS = 24 * 60 * 60 * 1_000
CALLS_MAX = 500  # remembered, whoever made them: the oldest goes first

CALL = "SELECT number, digest FROM call WHERE who = ? AND key = ? AND at_ms > ?"

PARTS = "SELECT upto, results FROM call_part WHERE call = ? AND upto > ? ORDER BY upto"

FORGET_OLD = """
    DELETE FROM call
     WHERE at_ms <= ? OR number <= (SELECT coalesce(max(number), 0) FROM call) - ?
"""

FORGET = "DELETE FROM call WHERE who = ? AND key = ?"

REMEMBER = "INSERT INTO call (who, key, digest, at_ms) VALUES (?, ?, ?, ?)"

REMEMBER_PART = "INSERT INTO call_part (call, upto, results) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before anything of it is done."""

    who: str
    key: str  # empty: it is not remembered
    digest: bytes  # of its body
    now: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some items of a call, done."""

    upto: int  # the number of the first item that is not done with it
    results: bytes  # JSON of each, with commas between them
    changed: int = 0  # how many items were done in this process


class UndoneError(Exception):
    """Nothing of a part is to stay; it carries what came of it out of its transaction."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


class Changing:
    """The links inside of one transaction, changed by *who*, and leading where *policy* allows."""

    def __init__(self, db: Connection, who: str, policy: Policy) -> None:
        self._db = db
        self._who = who
        self._policy = policy

    def by_id(self, link_id: str) -> Entry | None:
        """Return the link with that id."""
        return link_with_id(self._db, link_id)

    def by_place(self, host: str, path: str) -> Entry | None:
        """Return the link of that host and path."""
        return link_at(self._db, host, path)

    def create(self, entry: Entry) -> None:
        """Add a link, or refuse because of where it is or leads."""
        self._policy.refuse(entry.link)
        add_link(self._db, entry, self._who)

    def replace(self, old: Entry, new: Entry) -> None:
        """Put *new* in the place of *old*, or refuse because of where it is or leads."""
        self._policy.refuse_change(old.link, new.link)
        replace_link(self._db, old, new, self._who)

    def delete(self, entry: Entry, now: Millis) -> None:
        """Take a link away."""
        remove_link(self._db, entry, now, self._who)


async def next_parts(
    store: LinkStore, call: Call, policy: Policy, done: int, work: Callable[[Changing], Part]
) -> list[Part]:
    """Return what is remembered of *call* from item *done* on, or else do *work*, the next part.

    UndoneError from *work* undoes it.
    """

    def transaction(db: Connection) -> list[Part]:
        number = _number(db, call)
        kept = [] if number is None else _parts(db, number, done)
        if kept:
            return kept
        part = work(Changing(db, call.who, policy))
        # One that began to be remembered and is not any more had to make room for others.
        if number is None and call.key and not done:
            number = _remember(db, call)
        if number is not None:
            db.execute(REMEMBER_PART, (number, part.upto, zlib.compress(part.results, 1)))
        return [part]

    try:
        return await store.change(transaction)
    except IntegrityError as error:  # places are looked at before, so it is an id
        msg = "an id drawn for a link is in use; ask again"
        raise UnavailableError(msg) from error


def _number(db: Connection, call: Call) -> int | None:
    row = db.execute(CALL, (call.who, call.key, call.now - KEEP_MS)).fetchone()
    if row is None or not call.key:
        return None
    number, digest = row
    if digest != call.digest:
        msg = "Idempotency-Key: this key came with another body; take a new one"
        raise ConflictError(msg)
    return int(number)


def _parts(db: Connection, number: int, done: int) -> list[Part]:
    rows = db.execute(PARTS, (number, done)).fetchall()
    return [Part(upto=upto, results=zlib.decompress(results)) for upto, results in rows]


def _remember(db: Connection, call: Call) -> int | None:
    db.execute(FORGET_OLD, (call.now - KEEP_MS, CALLS_MAX - 1))
    db.execute(FORGET, (call.who, call.key))
    return db.execute(REMEMBER, (call.who, call.key, call.digest, call.now)).lastrowid
