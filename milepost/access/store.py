"""The SQL of tokens that a service keeps, in a database of its own with the table `token`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import orjson

from milepost.access.rules import TOKENS_MAX, Managed, forgettable
from milepost.database import Readers
from milepost.errors import ConflictError
from milepost.sqlite import Connection
from milepost.vocabulary import Millis, Scope

T = TypeVar("T")

COLUMNS = """
    name, hash, scopes, hosts, tags, rate, created_ms, created_by, expires_ms, revoked_ms, used_day
"""
ALL = f"SELECT {COLUMNS} FROM token ORDER BY name"
INSERT = f"INSERT INTO token ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
FORGET = "DELETE FROM token WHERE name = ?"
REVOKE = "UPDATE token SET revoked_ms = ? WHERE name = ? AND revoked_ms IS NULL"
USED = "UPDATE token SET used_day = ?2 WHERE name = ?1 AND coalesce(used_day, 0) < ?2"


class Transact(Protocol):
    """Runs work in one transaction of the service's own writer."""

    async def __call__(self, work: Callable[[Connection], T], /) -> T:
        """Return what *work* returned, durable."""


class TokenStore:
    """The table of tokens."""

    def __init__(self, transact: Transact, readers: Readers) -> None:
        self._transact = transact
        self._readers = readers

    async def tokens(self) -> list[Managed]:
        """Return every token, by name."""
        return [_managed(row) for row in await self._readers.rows(ALL)]

    async def add(self, token: Managed) -> None:
        """Add *token*; where there are too many, the one that ended first goes."""

        def work(db: Connection) -> None:
            found = [_managed(row) for row in db.execute(ALL)]
            if any(each.name == token.name for each in found):
                msg = f"there is, or was, a token with the name {token.name!r}: choose another"
                raise ConflictError(msg)
            if len(found) >= TOKENS_MAX:
                ended = forgettable(found, token.created_ms)
                if ended is None:
                    msg = f"there are {TOKENS_MAX} tokens: revoke one that is not needed"
                    raise ConflictError(msg)
                db.execute(FORGET, (ended,))
            db.execute(INSERT, _row(token))

        await self._transact(work)

    async def revoke(self, name: str, now: Millis) -> None:
        """End the token with this *name*; one that has been revoked stays as it is."""
        await self._transact(lambda db: db.execute(REVOKE, (now, name)))

    async def note_used(self, days: Mapping[str, int]) -> None:
        """Note the last day on which each of the tokens named in *days* was used."""
        await self._transact(lambda db: db.executemany(USED, days.items()))


def _managed(row: Iterable[Any]) -> Managed:
    name, token_hash, scopes, hosts, tags, rate, created_ms, created_by, *rest = row
    expires_ms, revoked_ms, used_day = rest
    return Managed(
        name=name,
        hash=token_hash,
        scopes=frozenset(map(Scope, orjson.loads(scopes))),
        hosts=frozenset(orjson.loads(hosts)),
        tags=frozenset(orjson.loads(tags)),
        rate=rate,
        created_ms=created_ms,
        created_by=created_by,
        expires_ms=expires_ms,
        revoked_ms=revoked_ms,
        used_day=used_day,
    )


def _row(token: Managed) -> tuple[Any, ...]:
    lists = (token.scopes, token.hosts, token.tags)
    return (
        *(token.name, token.hash),
        *(orjson.dumps(sorted(each)).decode() for each in lists),
        *(token.rate, token.created_ms, token.created_by),
        *(token.expires_ms, token.revoked_ms, token.used_day),
    )
