"""The SQL of grants: each step of a grant's life is one transaction with what it does to its link.

What holds after each step:
1. made: the grant, all that it will have cleaned up, and its link, which knows the end;
2. ended: the link is withdrawn, and every cleanup is due; nobody has been called yet;
3. a cleanup done or failed: that it was; a failed one is due again later;
4. the last one done: the grant has gone;
5. abandoned: nothing is due any more, and what was not done stays listed for a while.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from link_registry.changing.store import (
    add_link,
    link_at,
    link_with_id,
    path_in_use,
    remove_link,
    replace_link,
)
from link_registry.entries import Entry, new_entry
from link_registry.grants.rows import grant_of, row_of
from link_registry.grants.rules import (
    BY_SCHEDULE,
    MINUTE_MS,
    RETRY_MS,
    Grant,
    Wish,
    ended,
    extended,
    granted_link,
    host_and_path,
    new_grant,
    path_of,
    refuse_held,
    released_link,
)
from link_registry.grants.turns import Due
from link_registry.once.store import Call, once
from link_registry.store import LinkStore
from milepost.errors import ConflictError, NotFoundError, UnavailableError
from milepost.links import Link
from milepost.sqlite import Connection
from milepost.vocabulary import GrantId, LinkId, Millis

Check = Callable[[Link], None]
Tell = Callable[[Grant], bytes]

SHOWN = """
    SELECT g.id, g.owner, g.exclusive, g.link, g.made, g.link_expires_ms, g.metadata,
           g.created_ms, g.ends_ms, g.ended_ms, g.who, g.abandoned_ms, g.abandoned_by,
           link.host, link.path, link.destination,
           (SELECT json_group_array(json_array(c.id, c.due_ms, c.done_ms, c.failures, c.reason)
                                    ORDER BY c.place)
              FROM cleanup AS c WHERE c.link_grant = g.id)
      FROM link_grant AS g LEFT JOIN link ON link.id = g.link
"""

BY_ID = f"{SHOWN} WHERE g.id = ?"

STATE = """
    CASE WHEN g.abandoned_ms IS NOT NULL THEN 'abandoned'
         WHEN g.ended_ms IS NULL AND g.ends_ms > :now THEN 'active' ELSE 'cleaning' END
"""

# Those that are abandoned have gone: who wants to see them asks for them.
PAGE = f"""
    {SHOWN}
     WHERE g.id > :after AND (:owner IS NULL OR g.owner = :owner)
       AND iif(:state IS NULL, g.abandoned_ms IS NULL, {STATE} = :state)
     ORDER BY g.id LIMIT :limit
"""

INSERT = """
    INSERT INTO link_grant (id, owner, exclusive, link, made, link_expires_ms, metadata,
                            created_ms, ends_ms, ended_ms, who, abandoned_ms, abandoned_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_CLEANUP = "INSERT INTO cleanup (link_grant, id, place) VALUES (?, ?, ?)"

EXCLUSIVE_OF = """
    SELECT id FROM link_grant WHERE owner = ? AND exclusive = 1 AND ended_ms IS NULL
"""

ACTIVE_OF_LINK = "SELECT id FROM link_grant WHERE link = ? AND ended_ms IS NULL"

EXPIRED = """
    SELECT id FROM link_grant WHERE ended_ms IS NULL AND ends_ms <= ? ORDER BY ends_ms LIMIT ?
"""

NEXT_END = "SELECT min(ends_ms) FROM link_grant WHERE ended_ms IS NULL"

EXTEND = "UPDATE link_grant SET ends_ms = ? WHERE id = ?"

END = "UPDATE link_grant SET ended_ms = ? WHERE id = ?"

ALL_DUE = "UPDATE cleanup SET due_ms = ? WHERE link_grant = ?"

# An id that hundreds of others of its grant stand before must not hide those of other grants,
# and neither must those of grants of which something has failed.
DUE = """
    SELECT link_grant, id, failures, slow
      FROM (SELECT link_grant, id, failures, due_ms,
                   max(failures) OVER (PARTITION BY link_grant) > 0 AS slow,
                   row_number() OVER (PARTITION BY link_grant
                                      ORDER BY due_ms > :now, failures, due_ms, place) AS turn
              FROM cleanup WHERE due_ms IS NOT NULL)
     WHERE due_ms <= :now AND slow = :slow AND turn <= :of_each
     ORDER BY turn, due_ms LIMIT :limit
"""

IS_DUE = "SELECT count(*) FROM cleanup WHERE link_grant = ? AND id = ? AND due_ms <= ?"

DONE = """
    UPDATE cleanup SET done_ms = ?, due_ms = NULL
     WHERE link_grant = ? AND id = ? AND due_ms IS NOT NULL
"""

FAILED = """
    UPDATE cleanup SET due_ms = ?, failures = failures + 1, reason = ?
     WHERE link_grant = ? AND id = ? AND due_ms IS NOT NULL
"""

LEFT = "SELECT count(*) FROM cleanup WHERE link_grant = ? AND done_ms IS NULL"

FORGET_CLEANUPS = "DELETE FROM cleanup WHERE link_grant = ?"

FORGET = "DELETE FROM link_grant WHERE id = ?"

COUNTS = """
    SELECT (SELECT count(*) FROM link_grant WHERE ended_ms IS NULL),
           (SELECT count(*) FROM link_grant WHERE ended_ms IS NOT NULL AND abandoned_ms IS NULL),
           (SELECT count(*) FROM link_grant WHERE abandoned_ms IS NOT NULL),
           (SELECT count(*) FROM cleanup WHERE due_ms IS NOT NULL),
           (SELECT count(*) FROM cleanup WHERE due_ms IS NOT NULL AND failures > 0)
"""


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance gave for a grant that is to be made."""

    grant: GrantId
    link: LinkId
    slugs: Iterable[str]  # candidates, for when nobody wishes one


@dataclass(frozen=True, slots=True)
class Made:
    """The answer to a call for a grant."""

    answer: bytes
    grant: Grant | None  # None: it was made when the call came before


@dataclass(frozen=True, slots=True)
class Counts:
    """How many grants and cleanups there are."""

    active: int
    cleaning: int
    abandoned: int
    waiting: int
    failing: int


class GrantStore:
    """The grants in the registry's database."""

    def __init__(self, links: LinkStore) -> None:
        self._links = links
        self._readers = links.readers

    async def create(self, wish: Wish, draw: Draw, call: Call, told: Tell, *, check: Check) -> Made:
        """Make a grant with its link, or refuse; *check* refuses a link that is made.

        When *call* was made before, nothing happens, and its answer is what was *told* then.
        """
        made: list[Grant] = []

        def work(db: Connection) -> bytes:
            made[:] = [_make(db, wish, draw, call, check)]
            return told(made[0])

        answer = await once(self._links, call, work)
        return Made(answer, made[0] if made else None)

    async def extend(self, grant_id: str, minutes: int, now: Millis, who: str) -> Grant:
        """Put the end of a grant off, and that of its link."""

        def work(db: Connection) -> Grant:
            grant = extended(grant_with_id(db, grant_id), minutes, now)
            db.execute(EXTEND, (grant.ends_ms, grant.id))
            before = link_with_id(db, grant.link)
            if before is not None:
                _change_link(db, before, granted_link(before, grant, now), who)
            return grant

        return await self._links.change(work)

    async def end(self, grant_id: str, now: Millis, who: str) -> Grant:
        """End a grant; one that has ended already stays as it is."""

        def work(db: Connection) -> Grant:
            grant = grant_with_id(db, grant_id)
            return grant if grant.ended_ms is not None else _end(db, grant, now, who)

        return await self._links.change(work)

    async def end_expired(self, now: Millis, limit: int) -> list[Grant]:
        """End the grants whose end has come, at most *limit*; return them."""
        if await self._readers.row(EXPIRED, (now, 1)) is None:
            return []

        def work(db: Connection) -> list[Grant]:
            rows = db.execute(EXPIRED, (now, limit)).fetchall()
            return [_end(db, grant_with_id(db, row[0]), now, BY_SCHEDULE) for row in rows]

        return await self._links.change(work)

    async def next_end(self) -> Millis | None:
        """Return when the next grant ends."""
        [(ends,)] = await self._readers.rows(NEXT_END)
        return None if ends is None else Millis(ends)

    async def due(self, now: Millis, *, slow: bool, of_each: int, limit: int) -> list[Due]:
        """Return what is to be cleaned up now, at most *of_each* of one grant, in turns.

        With *slow* of the grants of which something has failed, otherwise of the others.
        """
        values = {"now": now, "slow": slow, "of_each": of_each, "limit": limit}
        async with self._readers.snapshot() as db:
            rows = await db.execute_fetchall(DUE, values)
            return [Due(GrantId(row[0]), row[1], row[2], slow=bool(row[3])) for row in rows]

    async def is_due(self, due: Due, now: Millis) -> bool:
        """Tell whether *due* still is."""
        [(count,)] = await self._readers.rows(IS_DUE, (due.grant, due.id, now))
        return bool(count)

    async def done(self, due: Due, now: Millis) -> bool:
        """Keep that *due* is done; tell whether that was the last of its grant, which then goes."""

        def work(db: Connection) -> bool:
            db.execute(DONE, (now, due.grant, due.id))
            return _forget_if_clean(db, due.grant)

        return await self._links.change(work)

    async def failed(self, due: Due, reason: str, now: Millis) -> None:
        """Keep that *due* failed; it is due again at the next run."""

        def work(db: Connection) -> None:
            db.execute(FAILED, (now + RETRY_MS, reason, due.grant, due.id))

        await self._links.change(work)

    async def get(self, grant_id: str) -> Grant:
        """Return one grant."""
        row = await self._readers.row(BY_ID, (grant_id,))
        if row is None:
            raise _unknown(grant_id)
        return grant_of(row)

    async def page(
        self, *, after: str, limit: int, owner: str | None, state: str | None, now: Millis
    ) -> list[Grant]:
        """Return the grants that follow *after* in the order of their ids."""
        values = {"after": after, "limit": limit, "owner": owner, "state": state, "now": now}
        async with self._readers.snapshot() as db:
            return [grant_of(row) for row in await db.execute_fetchall(PAGE, values)]

    async def counts(self) -> Counts:
        """Return how many there are."""
        [row] = await self._readers.rows(COUNTS)
        return Counts(*row)


def _make(db: Connection, wish: Wish, draw: Draw, call: Call, check: Check) -> Grant:
    now, who = call.now, call.who.name
    if wish.exclusive:
        holder = _holder(db, EXCLUSIVE_OF, wish.owner, now)
        refuse_held(holder, f"owner: {wish.owner}")
    if wish.makes_link:
        entry = _new_link(db, wish, draw, now, check)
        grant = new_grant(wish, draw.grant, entry, now, who)
        add_link(db, entry, who)
    else:
        before = _named_link(db, wish, now)
        grant = new_grant(wish, draw.grant, before, now, who)
        entry = granted_link(before, grant, now)
        _change_link(db, before, entry, who)
    db.execute(INSERT, row_of(grant))
    ids = [each.id for each in grant.cleanups]
    db.executemany(INSERT_CLEANUP, [(grant.id, each, n) for n, each in enumerate(ids)])
    return grant


def _holder(db: Connection, question: str, of: str, now: Millis) -> str | None:
    """Return the active grant that *question* finds; one whose end has come is ended first."""
    row = db.execute(question, (of,)).fetchone()
    if row is None:
        return None
    grant = grant_with_id(db, row[0])
    if now < grant.ends_ms:
        return grant.id
    _end(db, grant, now, BY_SCHEDULE)
    return None


def _new_link(db: Connection, wish: Wish, draw: Draw, now: Millis, check: Check) -> Entry:
    """Return the link that is made for *wish*, at a path that is free or refused later."""
    ends = Millis(now + wish.minutes * MINUTE_MS)
    fields = {"host": wish.host, "destination": wish.destination, "expires_ms": ends}
    for slug in draw.slugs if wish.slug is None else (wish.slug,):
        entry = new_entry({**fields, "path": path_of(slug)}, draw.link, now)
        check(entry.link)
        there = link_at(db, entry.link.host, entry.link.path)
        if there is not None:
            _holder(db, ACTIVE_OF_LINK, there.link.id, now)  # it goes if its end has come
        if wish.slug is not None or not path_in_use(db, entry.link):
            return entry
    msg = "every slug drawn for the link is in use; ask again"
    raise UnavailableError(msg)


def _named_link(db: Connection, wish: Wish, now: Millis) -> Entry:
    """Return the link that is there and that *wish* names, unless another grant has it."""
    name, found = _look_for(db, wish)
    if found is not None:
        refuse_held(_holder(db, ACTIVE_OF_LINK, found.link.id, now), name)
        name, found = _look_for(db, wish)  # as it is now: a grant that was over has let go of it
    if found is None:
        msg = f"{name}: there is no such link"
        raise NotFoundError(msg)
    if found.link.expires_ms is not None and found.link.expires_ms <= now:
        msg = f"{name}: the link has expired"
        raise ConflictError(msg)
    return found


def _look_for(db: Connection, wish: Wish) -> tuple[str, Entry | None]:
    """Return how *wish* names a link, and what is there."""
    if wish.link is not None:
        return f"link: {wish.link[:40]}", link_with_id(db, wish.link)
    host, path = host_and_path(wish)
    return f"slug: {path[:80]} on host {host[:80]}", link_at(db, host, path)


def _change_link(db: Connection, before: Entry, after: Entry, who: str) -> None:
    if after != before:
        replace_link(db, before, after, who)


def _end(db: Connection, grant: Grant, now: Millis, who: str) -> Grant:
    """Withdraw the link of *grant* and have all cleaned up."""
    grant = ended(grant, now)
    before = link_with_id(db, grant.link)
    if before is not None and grant.made:
        remove_link(db, before, now, who)
        grant = replace(grant, place=None)
    elif before is not None:
        _change_link(db, before, released_link(before, grant, now), who)
    db.execute(END, (now, grant.id))
    db.execute(ALL_DUE, (now, grant.id))
    _forget_if_clean(db, grant.id)
    return grant


def _forget_if_clean(db: Connection, grant_id: str) -> bool:
    if db.execute(LEFT, (grant_id,)).fetchone()[0]:
        return False
    db.execute(FORGET_CLEANUPS, (grant_id,))
    return bool(db.execute(FORGET, (grant_id,)).rowcount)


def grant_with_id(db: Connection, grant_id: str) -> Grant:
    """Return the grant, or say that there is none."""
    row = db.execute(BY_ID, (grant_id,)).fetchone()
    if row is None:
        raise _unknown(grant_id)
    return grant_of(row)


def _unknown(grant_id: str) -> NotFoundError:
    return NotFoundError(f"no grant has the id {grant_id[:40]!r}; one that is cleaned up has gone")
