"""Asking the combined database, within a budget."""

import time
from collections.abc import Callable
from typing import TypeVar

from aggregator.asking.budget import Allowance, Budget
from milepost.database import QueryReaders
from milepost.sqlite import Connection

T = TypeVar("T")

ROWS_DEFAULT, SECONDS_DEFAULT = 1_000_000, 5


class Asker:
    """Has questions answered on connections of their own, each within the same allowance."""

    def __init__(
        self,
        readers: QueryReaders,
        allowance: Allowance | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._readers = readers
        self._allowance = allowance or Allowance(rows=ROWS_DEFAULT, seconds=SECONDS_DEFAULT)
        self._seconds = seconds

    async def ask(
        self, work: Callable[[Connection, Budget], T], *, allowance: Allowance | None = None
    ) -> T:
        """Return what *work* returns, which sees one moment of the database."""
        allowed = allowance or self._allowance

        def asked(db: Connection) -> T:
            return work(db, allowed.begin(self._seconds))

        return await self._readers.ask(asked, seconds_max=allowed.seconds)
