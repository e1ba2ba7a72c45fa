"""The SQL of bulk calls: each is one transaction, and its answer may be remembered in it."""

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
from link_registry.narrowing import refuse_unseen
from link_registry.policy import Policy
from link_registry.store import LinkStore
from milepost.errors import ConflictError, UnavailableError
from milepost.sqlite import Connection, IntegrityError
from milepost.tokens import Principal
from milepost.vocabulary import Millis

KEEP_MS = 24 * 60 * 60 * 1_000
CALLS_MAX = 500  # remembered, whoever made them: the oldest goes first

CALL = "SELECT digest, answer FROM call WHERE who = ? AND key = ? AND at_ms > ?"

FORGET_OLD = """
    DELETE FROM call
     WHERE at_ms <= ? OR number <= (SELECT coalesce(max(number), 0) FROM call) - ?
"""

FORGET = "DELETE FROM call WHERE who = ? AND key = ?"

REMEMBER = "INSERT INTO call (who, key, digest, answer, at_ms) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is known of a call before it is looked into."""

    who: Principal
    key: str  # empty: it is not remembered
    digest: bytes  # of its body
    now: Millis


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


class Changing:
    """The links inside of one transaction, changed by *who*, and leading where *policy* allows.

    A link that *who* does not see is refused as soon as it is found.
    """

    def __init__(self, db: Connection, who: Principal, policy: Policy) -> None:
        self._db = db
        self._who = who
        self._policy = policy

    def by_id(self, link_id: str) -> Entry | None:
        """Return the link with that id."""
        return self._seen(link_with_id(self._db, link_id))

    def by_place(self, host: str, path: str) -> Entry | None:
        """Return the link of that host and path."""
        return self._seen(link_at(self._db, host, path))

    def create(self, entry: Entry) -> None:
        """Add a link, or refuse because of where it is or leads."""
        refuse_unseen(self._who, entry)
        self._policy.refuse(entry.link)
        add_link(self._db, entry, self._who.name)

    def replace(self, old: Entry, new: Entry) -> None:
        """Put *new* in the place of *old*, or refuse because of where it is or leads."""
        refuse_unseen(self._who, new)
        self._policy.refuse_change(old.link, new.link)
        replace_link(self._db, old, new, self._who.name)

    def delete(self, entry: Entry, now: Millis) -> None:
        """Take a link away."""
        remove_link(self._db, entry, now, self._who.name)

    def _seen(self, entry: Entry | None) -> Entry | None:
        if entry is not None:
            refuse_unseen(self._who, entry)
        return entry


async def call_once(
    store: LinkStore, call: Call, policy: Policy, work: Callable[[Changing], Done]
) -> Done:
    """Do *work* in one transaction and return its answer, or the one that is remembered."""

    def transaction(db: Connection) -> Done:
        known = _known(db, call)
        if known is not None:
            return Done(known, keep=True)
        done = work(Changing(db, call.who, policy))
        if not done.keep:
            raise UndoneError(done)
        _remember(db, call, done.answer)
        return done

    try:
        return await store.change(transaction)
    except UndoneError as undone:
        return undone.done
    except IntegrityError as error:  # places are looked at before, so it is an id
        msg = "an id drawn for a link is in use; ask again"
        raise UnavailableError(msg) from error


def _known(db: Connection, call: Call) -> bytes | None:
    row = db.execute(CALL, (call.who.name, call.key, call.now - KEEP_MS)).fetchone()
    if row is None or not call.key:
        return None
    if row[0] != call.digest:
        msg = "Idempotency-Key: this key came with another body; take a new one"
        raise ConflictError(msg)
    return zlib.decompress(row[1])


def _remember(db: Connection, call: Call, answer: bytes) -> None:
    if not call.key:
        return
    db.execute(FORGET_OLD, (call.now - KEEP_MS, CALLS_MAX - 1))
    db.execute(FORGET, (call.who.name, call.key))
    packed = zlib.compress(answer, 1)
    db.execute(REMEMBER, (call.who.name, call.key, call.digest, packed, call.now))
