"""The SQL that writes hits, and the strings they share."""

from operator import attrgetter
from typing import Any

from aggregator.hits.interning import TextCache
from milepost.record import Body, Record
from milepost.sqlite import Connection
from milepost.vocabulary import Epoch

# Every field of a record stands in a column of its own name, but for "time" in "time_ms".
PLAIN = ("status", "visitor", "asn", "opt_out", "session", "ulid")
INTERNED = tuple(name for name in Record._fields if name not in {"time", *PLAIN})
COLUMNS = ("batch", "idx", "time_ms", "epoch", *PLAIN, *INTERNED)

PUT_HIT = f"INSERT INTO hit ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

TEXT_ID = "SELECT id FROM text WHERE value = ?"
PUT_TEXT = "INSERT INTO text (value) VALUES (?)"

_plain = attrgetter("time", *PLAIN)
_interned = attrgetter(*INTERNED)


class HitWriter:
    """Writes hits inside one transaction.

    What it learned about strings is worth keeping only once that is committed.
    """

    def __init__(self, connection: Connection, cache: TextCache) -> None:
        self._connection = connection
        self._cache = cache
        self.learned: dict[str, int] = {}
        self.written = 0

    def write(self, batch: int, epoch: Epoch, body: Body) -> None:
        """Insert the records of *body* as the hits of the batch with the id *batch*."""
        self._connection.executemany(
            PUT_HIT, (self._row(batch, index, epoch, each) for index, each in body.placed())
        )
        self.written += len(body.records)

    def _row(self, batch: int, index: int, epoch: Epoch, record: Record) -> tuple[Any, ...]:
        time, *plain = _plain(record)
        texts = (None if value is None else self._text(value) for value in _interned(record))
        return (batch, index, time, epoch, *plain, *texts)

    def _text(self, value: str) -> int:
        found = self.learned.get(value) or self._cache.get(value)
        if found is None:
            found = self._look_up(value)
            self.learned[value] = found
        return found

    def _look_up(self, value: str) -> int:
        row = self._connection.execute(TEXT_ID, (value,)).fetchone()
        if row is not None:
            return int(row[0])
        made = self._connection.execute(PUT_TEXT, (value,)).lastrowid
        return int(made or 0)
