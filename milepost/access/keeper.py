"""The tokens of one service: made, listed, revoked, and in force at once.

The database is changed first; then the book is read anew from it, before the call is
answered.  So what was answered holds for the next call already.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from milepost.access.book import ManagedBook
from milepost.access.rules import NAME_CHARS_MAX, Managed, could_make, day_text, new_managed
from milepost.access.store import TokenStore
from milepost.clock import Clock, Entropy
from milepost.errors import ConflictError, NarrowedError, NotFoundError
from milepost.logs import get_log
from milepost.tokens import Principal, TokenBook, new_token, token_hash
from milepost.vocabulary import Scope

log = get_log(__name__)

NOTE_SECONDS = 60.0  # between looks for tokens that were used on a new day


class TokenKeeper:
    """Who may call one service."""

    def __init__(
        self,
        store: TokenStore,
        file: TokenBook,
        clock: Clock,
        entropy: Entropy,
        scopes: Sequence[Scope],
    ) -> None:
        """Keep further tokens in *store*, for *scopes*: those that this service asks for."""
        self.book = ManagedBook(file, clock)
        self.scopes = scopes
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._one_at_a_time = asyncio.Lock()

    async def load(self, _app: web.Application | None = None) -> None:
        """Let in whom the database knows."""
        self.book.put(await self._store.tokens())

    async def create(self, body: Any, maker: Principal) -> tuple[dict[str, Any], str]:
        """Make the token that *body* asks for; return what it is, and the token itself."""
        token = new_token(self._entropy)
        now = self._clock.now()
        made = new_managed(body, self.scopes, maker, now, token_hash(token))
        if self.book.knows(made.name):
            msg = f"a token of the tokens file has the name {made.name!r}: choose another"
            raise ConflictError(msg)
        async with self._one_at_a_time:
            try:
                await self._store.add(made)
            finally:  # also when it failed: it may have happened
                await self.load()
        log.info("token.created", name=made.name, by=maker.name, scopes=sorted(made.scopes))
        return made.to_json(now), token

    async def listed(self, caller: Principal) -> list[dict[str, Any]]:
        """Return the tokens that *caller* could have made, by name."""
        used, now = self.book.used(), self._clock.now()
        found = [each for each in await self._store.tokens() if could_make(caller, each)]
        shown = [(each, each.to_json(now)) for each in found]
        return [told | _last_used(each, used.get(each.name)) for each, told in shown]

    async def revoke(self, name: str, caller: Principal) -> None:
        """End the token with this *name*, from the next call on."""
        found = {each.name: each for each in await self._store.tokens()}.get(name)
        if found is None:
            held = " (it is in the tokens file: edit that)" if self.book.knows(name) else ""
            msg = f"no token that is kept here has the name {name[:NAME_CHARS_MAX]!r}{held}"
            raise NotFoundError(msg)
        if not could_make(caller, found):
            msg = f"the token {name!r} may do more than {caller.name!r}, which so cannot end it"
            raise NarrowedError(msg)
        async with self._one_at_a_time:
            try:
                await self._store.revoke(name, self._clock.now())
            finally:  # also when it failed: it may have happened
                await self.load()
        log.info("token.revoked", name=name, by=caller.name)

    async def note_used(self) -> None:
        """Write down which tokens were used on a day that is not noted: one write a day each."""
        used = dict(self.book.used())
        if not used:
            return
        async with self._one_at_a_time:
            await self._store.note_used(used)
            await self.load()


def _last_used(token: Managed, day: int | None) -> dict[str, Any]:
    """Return what the book knows better than the database."""
    return {} if day is None else {"last_used": day_text(max(day, token.used_day or 0))}
