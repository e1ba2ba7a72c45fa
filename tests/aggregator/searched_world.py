"""A combined database whose hits are searched, and a plain comparison of every row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from aggregator.access.narrowing import EVERYTHING
from aggregator.asking.budget import Budget
from aggregator.rolling.store import roll_block
from aggregator.searching.paging import Shape, page_of
from aggregator.searching.question import Question, Told, read_question
from aggregator.searching.rows import JSON
from tests.aggregator.rolled_world import START_MS, Row, Small, dimension_of

NOW = START_MS + 48 * 3_600_000
PUT_BATCH = "INSERT INTO applied VALUES (?, ?, x'', 0, 0, x'', 0, 0, 0, '')"
SET_MORE = "UPDATE hit SET session = ?, ulid = ?, asn = ?, opt_out = ? WHERE batch = ? AND idx = ?"
SET_TIME = "UPDATE hit SET time_ms = ? WHERE batch = ? AND idx = ?"
TICK_MS = 1_200_000  # many hits are of the same moment
ENOUGH = 1_000_000

Key = tuple[int, ...]


class Searched(Small):
    """The database, with batches that have names and hits with more fields."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.more: dict[tuple[int, int], dict[str, Any]] = {}

    def add_batch(self, size: int) -> None:
        """Insert a batch of random hits."""
        super().add_batch(size)
        self.db.execute(PUT_BATCH, (self.batches, self.batches.to_bytes(16)))
        for idx in range(size):
            more = {
                "session": self.random.choice([None, None, "s1", "s2"]),
                "ulid": self.random.choice([None, None, "u1"]),
                "asn": self.random.choice([None, 64_500, 64_501]),
                "opt_out": self.random.choice([None, 0, 1]),
            }
            self.more[self.batches, idx] = more
            self.db.execute(SET_MORE, (*more.values(), self.batches, idx))

    def _random_row(self, idx: int) -> Row:
        row = super()._random_row(idx)
        return replace(row, time_ms=row.time_ms - row.time_ms % TICK_MS)

    def change(self) -> None:
        """Let something happen: hits come, go, or are rolled up."""
        match self.random.randrange(4):
            case 0:
                self.add_batch(self.random.randint(1, 6))
            case 1 if self.rows:
                row = self.rows.pop(self.random.randrange(len(self.rows)))
                self.db.execute("DELETE FROM hit WHERE batch = ? AND idx = ?", (row.batch, row.idx))
            case 2:
                roll_block(self.db, 5)

    def straighten(self) -> None:
        """Let all hits have come in the order of their times."""
        self.rows = [
            replace(row, time_ms=START_MS + 1_000 * row.batch + row.idx) for row in self.rows
        ]
        for row in self.rows:
            self.db.execute(SET_TIME, (row.time_ms, row.batch, row.idx))

    def page(self, told: Told, *, rows: int = ENOUGH) -> dict[str, Any]:
        """Return a page as it is told, its hits by their ids alone."""
        return self.page_of(read_question(told, NOW), rows=rows)

    def page_of(self, question: Question, *, rows: int = ENOUGH) -> dict[str, Any]:
        """Return the page that *question* asks for, looking at *rows* rows at most."""
        budget = Budget(rows=rows, until=1.0, seconds=lambda: 0.0)
        shape = Shape(form=JSON, names=("id",))
        page = page_of(self.db, question, EVERYTHING, budget, shape)
        answer: dict[str, Any] = orjson.loads(page.body)
        return {**answer, "hits": [each["id"] for each in answer["hits"]]}

    def expected(self, told: Told) -> list[Row]:
        """Return every row that is asked for, in order."""
        matching = [row for row in self.rows if self._matches(row, told)]
        descending = told.get("direction", [self._first(told)])[0] == "desc"
        return sorted(matching, key=key_in(told), reverse=descending)

    def _first(self, told: Told) -> str:
        return "asc" if told.get("order") == ["arrival"] else "desc"

    def _matches(self, row: Row, told: Told) -> bool:
        for name, texts in told.items():
            if name in {"start", "end"}:
                moment = int(texts[0])
                if (row.time_ms < moment) == (name == "start"):
                    return False
            elif name not in {"order", "direction", "limit", "cursor"} and not meets(
                self.value_of(row, name), texts
            ):
                return False
        return True

    def value_of(self, row: Row, name: str) -> str | None:
        """Return field *name* of *row* as one asks for it."""
        value: Any = dimension_of(row, name)
        if name in self.more[row.batch, row.idx]:
            value = self.more[row.batch, row.idx][name]
            if name == "opt_out" and value is not None:
                value = "true" if value else "false"
        if name == "url":
            value = row.texts["host"] + row.texts["path"]
        if name in {"visitor", "agent", "method"}:
            value = getattr(row, name)
        if isinstance(value, bytes):
            return value.hex()
        return None if value is None else str(value)


def meets(value: str | None, texts: Sequence[str]) -> bool:
    """Tell whether *value* is what a filter asks for."""

    def one(text: str) -> bool:
        if text == "":
            return value is None
        if text.endswith("*"):
            return value is not None and value.startswith(text[:-1])
        return value == text

    wanted = [text for text in texts if not text.startswith("!")]
    unwanted = [text[1:] for text in texts if text.startswith("!")]
    return (not wanted or any(map(one, wanted))) and not any(map(one, unwanted))


def key_in(told: Told) -> Callable[[Row], Key]:
    """Return what rows are ordered by."""
    if told.get("order") == ["arrival"]:
        return lambda row: (row.batch, row.idx)
    return lambda row: (row.time_ms, row.batch, row.idx)


def id_of(row: Row) -> str:
    """Return the id of *row* as it is told."""
    return f"{row.batch.to_bytes(16).hex()}:{row.idx}"


def choices(small: Small) -> Iterator[tuple[str, list[str]]]:
    """Give for every field something to ask, without end."""
    values: dict[str, list[str]] = {
        "kind": ["link", "prefix"],
        "method": ["GET", "HEAD"],
        "host": ["h.example", "i.example", "never.example"],
        "path": ["/a", "/b"],
        "target": ["https://t.example/", "https://t*", "ftp*"],
        "status": ["301", "302", "404", "500"],
        "region": ["dfw", "cdg"],
        "link": ["one", "two", ""],
        "variant": ["a", ""],
        "country": ["DE", "US", "FR", ""],
        "agent": ["firefox", "safari", "crawler", ""],
        "source": ["mail", ""],
        "device": ["mobile", "desktop", ""],
        "class": ["human", "bot", "library"],
        "referrer": ["a.example", ""],
        "url": ["h.example/a", "i.example/*", "h*", "h.example/c"],
        "asn": ["64500", "64501", ""],
        "opt_out": ["true", "false", ""],
        "session": ["s1", "s2", "s3", ""],
        "ulid": ["u1", ""],
        "visitor": [(bytes([epoch, n]) * 8).hex() for epoch in range(3) for n in range(4)],
    }
    while True:
        name = small.random.choice([*values])
        count = small.random.choice([1, 1, 1, 2])
        sign = small.random.choice(["", "", "", "!"])
        yield name, [sign + text for text in small.random.sample(values[name], count)]
