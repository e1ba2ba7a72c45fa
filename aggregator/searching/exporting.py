"""All hits that are asked for, in pieces, in the order in which they became visible.

An export tells the hits that were visible when it began.  Each piece is read for itself, so
that no snapshot is held while a slow caller takes what was read: a hit that goes meanwhile
may be missing, and one that changes is told as it was found.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from aggregator.asking.budget import Budget
from aggregator.asking.filters import Narrowing
from aggregator.searching.parquet import ParquetFile
from aggregator.searching.question import Place, Selection, Want
from aggregator.searching.rows import (
    PARQUET,
    Columns,
    columns_of,
    header,
    stored_names,
    text_ids,
    written,
    written_moment,
)
from aggregator.searching.store import collect, newest_batch, texts_of
from milepost.sqlite import Connection

PIECE_ROWS = 8_192
REMEMBERED_CHARS_MAX = 8 << 20  # of texts, from one piece to the next


class Form(Protocol):
    """Turns columns into the bytes of a file."""

    def begin(self) -> bytes:
        """Return what comes before the first row."""
        ...

    def rows(self, columns: Columns) -> bytes:
        """Return what can be told once *columns* are there too."""
        ...

    def end(self) -> bytes:
        """Return the rest."""
        ...


class Lines:
    """One line for each row."""

    def __init__(self, form: str, names: Sequence[str]) -> None:
        self._form = form
        self._names = names

    def begin(self) -> bytes:
        """Return the line of titles, if there is one."""
        return header(self._form, self._names)

    def rows(self, columns: Columns) -> bytes:
        """Return the lines of *columns*."""
        return written(self._form, self._names, columns)

    def end(self) -> bytes:
        """Return nothing: the last line is a line like any other."""
        return b""


class Export:
    """What is told so far, and what comes next."""

    def __init__(
        self, selection: Selection, narrowing: Narrowing, form: str, names: Sequence[str]
    ) -> None:
        self._want = Want(
            selection=selection, by_arrival=True, descending=False, limit=PIECE_ROWS, upto=-1
        )
        self._narrowing = narrowing
        self._names = names
        self._stored = stored_names(names)
        self._form: Form = ParquetFile(names) if form == PARQUET else Lines(form, names)
        self._moment = int if form == PARQUET else written_moment
        self._texts: dict[int, str] = {}
        self._chars = 0
        self.done = False

    def piece(self, db: Connection, budget: Budget) -> bytes:
        """Return the next piece of the file."""
        begin = b""
        if self._want.upto < 0:
            self._want = replace(self._want, upto=newest_batch(db))
            begin = self._form.begin()
        found = collect(db, self._want, self._narrowing, budget, self._stored)
        content = b""
        if found.rows:
            self._learn(db, text_ids(self._names, found.rows))
            columns = columns_of(self._names, found.rows, self._texts, self._moment)
            content = self._form.rows(columns)
        after = found.reached
        if after is None and found.rows:
            after = Place(*found.rows[-1][:3])
        self._want = replace(self._want, after=after)
        self.done = not found.more
        return begin + content + (self._form.end() if self.done else b"")

    def _learn(self, db: Connection, ids: set[int]) -> None:
        """Remember the texts of *ids*, and of others only as long as they are few."""
        if self._chars > REMEMBERED_CHARS_MAX:
            self._texts, self._chars = {}, 0
        fresh = texts_of(db, ids - self._texts.keys())
        self._texts |= fresh
        self._chars += sum(map(len, fresh.values()))
