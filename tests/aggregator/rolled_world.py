"""A combined database of few rows, and what its rollups have to say."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aggregator.rolling.fields import DIMENSIONS
from aggregator.rolling.store import changing
from aggregator.rolling.tiers import HOUR_MS
from milepost.database import open_database
from milepost.sqlite import Connection

START_MS = 20_000 * 24 * HOUR_MS
REDIRECTS = {301, 302, 303, 307, 308}
PLAIN = ("status", "visitor", "asn", "opt_out", "session", "ulid")


@dataclass(frozen=True)
class Row:
    """One hit as the test knows it."""

    batch: int
    idx: int
    time_ms: int
    epoch: int
    visitor: bytes | None
    method: str
    status: int
    agent: str | None
    texts: dict[str, str] = field(hash=False)

    @property
    def click(self) -> bool:
        """Tell whether somebody was sent on."""
        return self.method == "GET" and self.status in REDIRECTS


AGENTS: dict[str | None, tuple[str | None, ...]] = {
    None: ("library", None, None, None),
    "firefox": ("human", "desktop", "Linux", "Firefox"),
    "safari": ("human", "mobile", "iOS", "Safari"),
    "crawler": ("bot", None, None, None),
}
HOSTS = {"https://a.example/x": "a.example", "https://a.example/y": "a.example"}


def dimension_of(row: Row, name: str) -> str | int | None:
    """Return the value of dimension *name*."""
    if name == "status":
        return row.status
    if name in {"class", "device", "os", "browser"}:
        return AGENTS[row.agent][("class", "device", "os", "browser").index(name)]
    if name == "referrer":
        return HOSTS.get(row.texts.get("referer", ""))
    return row.texts.get(name)


class Small:
    """The database, and every row in it.

    An epoch has six hours, of *hours* hours each.
    """

    def __init__(self, folder: Path, seed: int, hours: int = 1) -> None:
        self.random = random.Random(seed)
        self._hour_ms = hours * HOUR_MS
        self.db: Connection = open_database(folder / "combined.db", "combined")
        self.db.execute("BEGIN")  # and never ended: nobody else looks
        self.rows: list[Row] = []
        self.batches = 0
        self._texts: dict[str, int] = {}
        self._describe()

    def _describe(self) -> None:
        """Describe every agent and referer that is not described, or not any more."""
        for agent, words in AGENTS.items():
            values = [self.text(each) for each in words]
            self.db.execute(
                "INSERT OR IGNORE INTO agent_class VALUES (?, 1, ?, ?, ?, ?)",
                (self.text(agent) or 0, *values),
            )
        for referer, host in HOSTS.items():
            ids = (self.text(referer), self.text(host))
            self.db.execute("INSERT OR IGNORE INTO referrer VALUES (?, ?)", ids)

    def text(self, value: str | None) -> int | None:
        """Return the id of *value*."""
        if value is None:
            return None
        if value not in self._texts:
            made = self.db.execute("INSERT INTO text (value) VALUES (?)", (value,))
            self._texts[value] = made.lastrowid or 0
        return self._texts[value]

    def forget(self, texts: Iterable[str]) -> None:
        """Take note that *texts* are gone, which no row has."""
        for text in texts:
            del self._texts[text]
        self._describe()

    def named(self, value: int) -> str:
        """Return the text with an id."""
        return next(text for text, number in self._texts.items() if number == value)

    def add_batch(self, size: int) -> None:
        """Insert a batch of random hits."""
        self.batches += self.random.randint(1, 3)  # others are still sealed
        for idx in range(size):
            self._insert(self._random_row(idx))

    def _random_row(self, idx: int) -> Row:
        pick = self.random.choice
        epoch = pick([0, 0, 1, 2])
        hour = epoch * 6 + pick([0, 1, 2, 3, 4, 5, 5, 6])  # some come late
        texts = {
            "kind": pick(["link", "prefix"]),
            "host": pick(["h.example", "i.example"]),
            "path": pick(["/a", "/b"]),
            "target": "https://t.example/",
            "region": pick(["dfw", "cdg"]),
        }
        for name, values in (
            ("link", ["one", "two", None]),
            ("country", ["DE", "US", None]),
            ("referer", [*HOSTS, "garbage", None]),
            ("source", ["mail", None]),
            ("variant", ["a", None]),
        ):
            if (value := pick(values)) is not None:
                texts[name] = value
        return Row(
            batch=self.batches,
            idx=idx,
            time_ms=START_MS + hour * self._hour_ms + self.random.randrange(self._hour_ms),
            epoch=epoch,
            visitor=pick([None, *(bytes([epoch, n]) * 8 for n in range(4))]),
            method=pick(["GET", "GET", "GET", "HEAD"]),
            status=pick([302, 302, 301, 404]),
            agent=pick([*AGENTS]),
            texts=texts,
        )

    def _insert(self, row: Row) -> None:
        told = {**row.texts, "method": row.method} | ({"agent": row.agent} if row.agent else {})
        names = ("batch", "idx", "time_ms", "epoch", "status", "visitor", *told)
        ids = [self.text(value) for value in told.values()]
        self.db.execute(
            f"INSERT INTO hit ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            (row.batch, row.idx, row.time_ms, row.epoch, row.status, row.visitor, *ids),
        )
        self.rows.append(row)

    def change(self) -> None:
        """Remove some hits, or give them a visitor."""
        chosen = self.random.sample(self.rows, k=min(4, len(self.rows)))
        places = [(row.batch, row.idx) for row in chosen]
        self.rows = [row for row in self.rows if row not in chosen]
        if self.random.random() < 0.5:
            with changing(self.db, places):
                self.db.executemany("DELETE FROM hit WHERE batch = ? AND idx = ?", places)
            return
        late = [row for row in chosen if row.visitor is None]
        hashed = [replace(row, visitor=bytes([row.epoch, 9]) * 8) for row in late]
        with changing(self.db, places, ((row.epoch, row.visitor or b"") for row in hashed)):
            self.db.executemany(
                "UPDATE hit SET visitor = ? WHERE batch = ? AND idx = ?",
                [(row.visitor, row.batch, row.idx) for row in hashed],
            )
        self.rows += [row for row in chosen if row not in late] + hashed

    def rolled(self) -> list[Row]:
        """Return the rows that are in a block."""
        (upto,) = self.db.execute("SELECT coalesce(max(upto), 0) FROM rolled").fetchone()
        return [row for row in self.rows if row.batch <= upto]

    def values(self) -> Iterator[tuple[int, str, int]]:
        """Give each dimension with each of its values that was ever rolled."""
        for number, name in enumerate(DIMENSIONS):
            for (value,) in self.db.execute(
                "SELECT DISTINCT value FROM rollup WHERE dimension = ?", (number,)
            ).fetchall():
                yield number, name, value
