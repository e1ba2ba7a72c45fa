"""Everybody who may call a service that keeps tokens: those of its file, and its own.

What stands here is in memory: a call reads and writes no database.
"""

import hmac
from collections.abc import Iterable, Mapping

from milepost.access.rules import DAY_MS, Managed
from milepost.clock import Clock
from milepost.errors import UnauthorizedError
from milepost.tokens import Principal, TokenBook


class ManagedBook(TokenBook):
    """A tokens file, and beside it the tokens that the service keeps."""

    def __init__(self, file: TokenBook, clock: Clock) -> None:
        super().__init__(())
        self._file = file
        self._clock = clock
        self._tokens: tuple[tuple[Managed, Principal], ...] = ()
        self._used: dict[str, int] = {}

    def put(self, tokens: Iterable[Managed]) -> None:
        """Let *tokens* in from now on, and no others beside those of the file."""
        self._tokens = tuple((each, each.principal()) for each in tokens)

    def find(self, shown: bytes) -> Principal | None:
        """Return whose token has the hash *shown*; one that has ended is refused with the reason.

        Whose name is in the file meanwhile is not let in: two would be one to everybody else.
        """
        found = self._file.find(shown)
        kept: tuple[Managed, Principal] | None = None
        for each in self._tokens:  # all of them, so that time tells nothing
            if hmac.compare_digest(each[0].hash, shown):
                kept = each
        if found is not None or kept is None:
            return found
        token, principal = kept
        now = self._clock.now()
        ended = token.ended(now)
        if not ended and self._file.knows(token.name):
            ended = "no longer taken: the tokens file has its name"
        if ended:
            msg = f"the token {token.name!r} is {ended}"
            raise UnauthorizedError(msg)
        self._used[token.name] = now // DAY_MS
        return principal

    def knows(self, name: str) -> bool:
        """Tell whether a token of the file has this *name*."""
        return self._file.knows(name)

    def used(self) -> Mapping[str, int]:
        """Return the days of last use that are news to the database."""
        noted = {token.name: token.used_day or 0 for token, _ in self._tokens}
        return {
            name: day for name, day in self._used.items() if name in noted and day > noted[name]
        }
