"""The SQL of streams whose replicas are read: what is known of them, and what has come of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aggregator.pulling.store import OF_COPIES, hex_list
from aggregator.replicas.rules import Stored
from milepost.database import Readers, Writer
from milepost.sqlite import Connection
from milepost.vocabulary import Millis, Seq, StreamId
from milepost.wire import StreamHead

STORED = """
    SELECT stream, source, present, open, seq, last_seq, fault, swept_ms, retired_ms, abandoned_ms,
           EXISTS (SELECT 1 FROM damaged WHERE damaged.stream = stream.stream),
           forks > 0 OR file_seq < last_seq
           OR EXISTS (SELECT 1 FROM life WHERE life.life = stream.life AND lowered_ms IS NOT NULL)
      FROM stream WHERE stream IN (SELECT unhex(value) FROM json_each(?))
"""
SOURCES = "SELECT url, region, machine, gone_ms FROM source"
SWEPT_NEWEST = """
    SELECT stream, source, region, seq, last_seq, swept_ms FROM stream
     WHERE swept_ms IS NOT NULL ORDER BY swept_ms DESC LIMIT ?
"""
# What was walked to its end from its beginning, and goes further than what was pulled.
ADOPT = "UPDATE stream SET seq = ?, chain = ?, records = ? WHERE stream = ? AND seq < ?"
SWEEP = "UPDATE stream SET swept_ms = ? WHERE stream = ? AND present = ?"
RETIRE = "UPDATE stream SET retired_ms = ? WHERE stream = ? AND retired_ms IS NULL"
REOPEN = "UPDATE stream SET swept_ms = NULL, retired_ms = NULL WHERE stream = ?"

NAMES_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class KnownSource:
    """A source as it is stored."""

    url: str
    region: str | None  # None: it has never answered
    machine: str | None
    gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A stream whose replica was read to its end."""

    stream: StreamId
    source: str
    region: str
    seq: Seq
    last_seq: Seq
    swept_ms: Millis


class ReplicaStore:
    """The combined database as the sweep sees it."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def stored(self, streams: Sequence[StreamId]) -> dict[StreamId, Stored]:
        """Return what is stored of those of *streams* that are known."""
        found: dict[StreamId, Stored] = {}
        for at in range(0, len(streams), NAMES_AT_ONCE):
            some = hex_list(streams[at : at + NAMES_AT_ONCE])
            for stream, *rest in await self._readers.rows(STORED, (some,)):
                found[StreamId(stream)] = _stored(rest)
        return found

    async def sources(self) -> list[KnownSource]:
        """Return every source that was ever known."""
        return [
            KnownSource(url, region, machine, gone_ms is not None)
            for url, region, machine, gone_ms in await self._readers.rows(SOURCES)
        ]

    async def swept(self, limit: int) -> list[Swept]:
        """Return the streams that were swept last."""
        return [
            Swept(
                stream=StreamId(stream),
                source=source,
                region=region,
                seq=Seq(seq),
                last_seq=Seq(last_seq),
                swept_ms=Millis(swept_ms),
            )
            for stream, source, region, seq, last_seq, swept_ms in await self._readers.rows(
                SWEPT_NEWEST, (limit,)
            )
        ]

    async def finish(
        self, head: StreamHead, before: Stored | None, swept_ms: Millis | None
    ) -> bool:
        """Note that the copy of *head* was taken to its end; with *swept_ms*, that it was the last.

        Tells whether it is swept: not when its machine has come back with it meanwhile.
        """
        present = before is not None and before.present

        def work(db: Connection) -> bool:
            end = (head.last_seq, head.last_chain, head.records, head.id, head.last_seq)
            db.execute(ADOPT, end)
            if swept_ms is None:
                return False
            return bool(db.execute(SWEEP, (swept_ms, head.id, present)).rowcount)

        return await self._writer.transact(work)

    async def retire(self, streams: Iterable[StreamId], now: Millis) -> None:
        """Note that *streams* are seen to have retired, unless that is known."""
        rows = [(now, stream) for stream in streams]
        if rows:
            await self._writer.transact(lambda db: db.executemany(RETIRE, rows))

    async def reopen(self, stream: StreamId) -> None:
        """Note that somebody still writes *stream*, which had been taken for finished."""
        await self._writer.transact(lambda db: db.execute(REOPEN, (stream,)))


def _stored(columns: Sequence[Any]) -> Stored:
    source, present, is_open, seq, last_seq, fault, swept_ms, *rest = columns
    retired_ms, abandoned_ms, damaged, rolled_back = rest
    return Stored(
        source=source,
        announced=not source.startswith(OF_COPIES),
        present=bool(present),
        open=bool(is_open),
        seq=Seq(seq),
        last_seq=Seq(last_seq),
        fault=fault,
        swept_ms=swept_ms,
        retired_ms=retired_ms,
        abandoned_ms=abandoned_ms,
        damaged=bool(damaged),
        rolled_back=bool(rolled_back),
    )
