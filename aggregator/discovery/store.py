"""The SQL of which sources there are, and what has become of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from milepost.database import Readers, Writer
from milepost.sqlite import Connection
from milepost.vocabulary import Millis

SOURCES = "SELECT url, gone_ms IS NOT NULL, abandoned_ms IS NOT NULL FROM source ORDER BY found_ms"
# One that comes back is known again, and goes on where it was: its streams have their cursors.
KNOW = """
    INSERT INTO source (url, found_ms) VALUES (?, ?)
        ON CONFLICT (url) DO UPDATE SET gone_ms = NULL, last_error = NULL
"""
LEAVE = "UPDATE source SET gone_ms = ?, last_error = ? WHERE url = ? AND gone_ms IS NULL"
NOTE_ASKED = "UPDATE source SET asked_ms = max(coalesce(asked_ms, 0), ?) WHERE url = ?"


class Row(NamedTuple):
    """What has become of a source."""

    gone: bool
    abandoned: bool


class SourceStore:
    """The sources in the combined database."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def all(self) -> dict[str, Row]:
        """Return every source that was ever known, the oldest first."""
        rows = await self._readers.rows(SOURCES)
        return {url: Row(bool(gone), bool(abandoned)) for url, gone, abandoned in rows}

    async def know(self, urls: Iterable[str], now: Millis) -> None:
        """Note that *urls* are there."""
        await self._run(KNOW, [(url, now) for url in urls])

    async def leave(self, errors: Mapping[str, str | None], now: Millis) -> None:
        """Note that sources are gone, and what was wrong with each in the end."""
        await self._run(LEAVE, [(now, error, url) for url, error in errors.items()])

    async def note_asked(self, asked: Mapping[str, Millis]) -> None:
        """Note when answers were asked for that are applied and left no file unread."""
        await self._run(NOTE_ASKED, [(moment, url) for url, moment in asked.items()])

    async def _run(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        def work(db: Connection) -> None:
            db.executemany(sql, rows)

        if rows:
            await self._writer.transact(work)
