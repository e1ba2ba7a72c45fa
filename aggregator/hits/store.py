"""The SQL that writes hits, and the strings they share."""

from collections.abc import Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any

from aggregator.describing.store import Described, Describer
from aggregator.forgetting.rules import NOTHING, Erased
from aggregator.hits.interning import TextCache
from milepost.record import Body, RawRecord, Record
from milepost.sqlite import Connection
from milepost.vocabulary import Epoch

# Every field of a record stands in a column of its own name, but for "time" in "time_ms".
PLAIN = ("status", "visitor", "asn", "opt_out", "session", "ulid")
INTERNED = tuple(name for name in Record._fields if name not in {"time", *PLAIN})
COLUMNS = ("batch", "idx", "time_ms", "epoch", *PLAIN, *INTERNED)

PUT_HIT = f"INSERT INTO hit ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"

TEXT_ID = "SELECT id FROM text WHERE value = ?"
PUT_TEXT = "INSERT INTO text (value) VALUES (?) ON CONFLICT DO NOTHING"

_plain = itemgetter(*map(Record._fields.index, PLAIN))
_interned = itemgetter(*map(Record._fields.index, INTERNED))


class HitWriter:
    """Writes hits inside one transaction.

    What it learned about strings is worth keeping only once that is committed.
    """

    def __init__(
        self,
        connection: Connection,
        cache: TextCache,
        described: Described,
        erased: Erased = NOTHING,
    ) -> None:
        """Write over *connection* all that is not *erased*."""
        self._connection = connection
        self._erased = erased
        self._cache = cache
        self._learned: dict[str, int] = {}
        self._describer = Describer(connection, described, self._id)
        self.written = 0
        self.refused = 0  # hits that must not be kept

    def write(self, batch: int, epoch: Epoch, body: Body) -> None:
        """Insert the records of *body* as the hits of the batch with the id *batch*."""
        placed = list(body.placed())
        if self._erased:
            placed = [each for each in placed if not self._erased.covers(each[1])]
        records = [record for _, record in placed]
        # Many fields of a batch say the same: each string is looked for once.
        ids = self._ids(set(chain.from_iterable(map(_interned, records))))
        self._connection.executemany(
            PUT_HIT, (_row(batch, index, epoch, each, ids) for index, each in placed)
        )
        self._describer.describe(
            (each.agent for each in records), (each.referer for each in records)
        )
        self.written += len(records)
        self.refused += len(body.records) - len(records)

    def fields_of(self, raw: RawRecord) -> dict[str, str]:
        """Return what may be kept of a record that could not be encoded."""
        return {} if self._erased.covers_text(raw.fields) else dict(raw.fields)

    def keep(self) -> None:
        """Remember what was learned, once it is committed."""
        self._cache.remember(self._learned)
        self._describer.keep()

    def _ids(self, values: Iterable[str | None]) -> dict[str | None, int | None]:
        return {value: None if value is None else self._id(value) for value in values}

    def _id(self, value: str) -> int:
        found = self._learned.get(value) or self._cache.get(value)
        if found is None:
            found = self._look_up(value)
            self._learned[value] = found
        return found

    def _look_up(self, value: str) -> int:
        # What is not remembered is new more often than not.
        made = self._connection.execute(PUT_TEXT, (value,))
        if made.rowcount:
            return int(made.lastrowid or 0)
        (found,) = self._connection.execute(TEXT_ID, (value,)).fetchone()
        return int(found)


def _row(
    batch: int, index: int, epoch: Epoch, record: Record, ids: Mapping[str | None, int | None]
) -> tuple[Any, ...]:
    return (batch, index, record.time, epoch, *_plain(record), *map(ids.get, _interned(record)))
