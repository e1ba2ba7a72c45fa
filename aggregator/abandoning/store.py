"""The SQL of abandoning."""

from collections.abc import Sequence
from typing import Any

from aggregator.abandoning.rules import Candidate
from aggregator.pulling.store import BEHIND, OF_COPIES, RECORDS_BEHIND
from milepost.database import Readers
from milepost.sqlite import Connection
from milepost.vocabulary import Millis, StreamId

# Its replica may hold more, whether there is one or not.
UNENDED = f"""
    (present = 0 AND swept_ms IS NULL AND (open = 1 OR source LIKE '{OF_COPIES}%'))
"""
CANDIDATE = f"""
    SELECT stream, source, open, present, {UNENDED}, fault, {RECORDS_BEHIND}, {BEHIND}, abandoned_ms
      FROM stream
"""
BY_ID = f"{CANDIDATE} WHERE stream = ?"
BY_SOURCE = f"{CANDIDATE} WHERE source = ? ORDER BY created_ms"
IS_SOURCE = "SELECT 1 FROM source WHERE url = ?"

# Abandoning again changes nothing, not even the moment.
ABANDON_STREAM = "UPDATE stream SET abandoned_ms = ? WHERE stream = ? AND abandoned_ms IS NULL"
ABANDON_SOURCE = "UPDATE source SET abandoned_ms = ? WHERE url = ? AND abandoned_ms IS NULL"
ABANDON_STREAMS = "UPDATE stream SET abandoned_ms = ? WHERE source = ? AND abandoned_ms IS NULL"


async def find_stream(readers: Readers, stream: StreamId) -> Candidate | None:
    """Return *stream*, if it was ever announced."""
    row = await readers.row(BY_ID, (stream,))
    return None if row is None else _candidate(row)


async def find_streams(readers: Readers, source: str) -> list[Candidate] | None:
    """Return the streams that *source* announced last, or None if it is not known."""
    if await readers.row(IS_SOURCE, (source,)) is None:
        return None
    return [_candidate(row) for row in await readers.rows(BY_SOURCE, (source,))]


def abandon_stream(db: Connection, stream: StreamId, now: Millis) -> None:
    """Write the rest of *stream* off."""
    db.execute(ABANDON_STREAM, (now, stream))


def abandon_source(db: Connection, source: str, now: Millis) -> None:
    """Write the rest of all streams of *source* off, and do not wait for it any more."""
    db.execute(ABANDON_SOURCE, (now, source))
    db.execute(ABANDON_STREAMS, (now, source))


def _candidate(row: Sequence[Any]) -> Candidate:
    stream, source, is_open, present, unended, fault, records, behind, abandoned_ms = row
    return Candidate(
        stream=StreamId(stream),
        source=source,
        open=bool(is_open),
        present=bool(present),
        unended=bool(unended),
        fault=fault,
        records=records,
        behind=bool(behind),
        abandoned_ms=abandoned_ms,
    )
