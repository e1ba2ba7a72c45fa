"""The SQL that answers questions.  It only reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from aggregator.draining.store import SWEPT
from aggregator.opening.batches import TIME_MS_MAX
from aggregator.pulling.store import BEHIND, RECORDS_BEHIND
from aggregator.query.params import rfc3339
from milepost.database import Readers
from milepost.vocabulary import Millis, Seq, StreamId

SOURCES = f"""
    SELECT url, region, machine, version, last_success_ms, asked_ms, last_error, found_ms,
           gone_ms, abandoned_ms, gone_ms IS NOT NULL AND {SWEPT}
      FROM source ORDER BY found_ms, url
"""
# Also those that are gone although something announced never came.  What a swept one lacks is
# lost: nobody is behind with it.
STREAMS = f"""
    SELECT source, stream, created_ms, open, present, seq, last_seq,
           iif(swept_ms IS NULL, {RECORDS_BEHIND}, 0), {BEHIND},
           fault, branch_seq, forked_ms, abandoned_ms, swept_ms
      FROM stream WHERE present = 1 OR seq < last_seq ORDER BY source, created_ms
"""

# The newest first: what has just gone wrong is what one looks for.
SET_ASIDE_BATCHES = """
    SELECT applied.batch, stream, seq, applied.epoch, count, first_ms, last_ms, reason
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NOT NULL ORDER BY applied.id DESC LIMIT ?
"""
DAMAGED_BATCHES = """
    SELECT batch, stream, seq, epoch, count, first_ms, last_ms, reason
      FROM damaged ORDER BY at_ms DESC, stream, seq LIMIT ?
"""
SET_ASIDE_RECORDS = """
    SELECT set_aside_record.batch, idx, stream, seq, epoch, reason, fields
      FROM set_aside_record JOIN applied USING (batch)
     ORDER BY applied.id DESC, idx LIMIT ?
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStream:
    """What is stored of one stream."""

    stream: StreamId
    created_ms: Millis
    open: bool
    present: bool
    seq: Seq
    last_seq: Seq
    lag_records: int
    behind: bool
    fault: str | None
    branch_seq: Seq | None
    forked_ms: Millis | None
    abandoned_ms: Millis | None
    swept_ms: Millis | None


@dataclass(frozen=True, slots=True)
class StoredSource:
    """What is stored of one source."""

    region: str | None
    machine: str | None
    version: str | None
    last_success_ms: Millis | None  # of the last answer that changed something
    asked_ms: Millis | None
    last_error: str | None
    found_ms: Millis
    gone_ms: Millis | None
    abandoned_ms: Millis | None
    swept: bool  # gone, and what it had was read from its replicas

    @property
    def state(self) -> str:
        """Return what has become of it."""
        if self.abandoned_ms is not None:
            return "abandoned"
        return "known" if self.gone_ms is None else "gone"

    def to_json(self) -> Row:
        """Return what is told of it, without what there is not."""
        told = {
            "state": self.state,
            "region": self.region,
            "machine": self.machine,
            "version": self.version,
            "last_success": _written(max(self.last_success_ms or 0, self.asked_ms or 0) or None),
            "last_error": self.last_error,
            "gone": _written(self.gone_ms),
            "abandoned": _written(self.abandoned_ms),
            "swept": True if self.swept else None,
        }
        return {name: value for name, value in told.items() if value is not None}


async def find_sources(
    readers: Readers,
) -> tuple[dict[str, StoredSource], dict[str, list[StoredStream]]]:
    """Return what is stored of each source, and of its streams, by url."""
    sources: dict[str, StoredSource] = {}
    for url, *rest in await readers.rows(SOURCES):
        sources[url] = StoredSource(*rest)
    streams: dict[str, list[StoredStream]] = {}
    for url, *rest in await readers.rows(STREAMS):
        streams.setdefault(url, []).append(_stream(rest))
    return sources, streams


async def find_set_aside(readers: Readers, limit: int) -> tuple[list[Row], list[Row]]:
    """Return the newest batches that are set aside, and the newest records that are so alone.

    Damaged batches come first, marked: nobody vouches for what their rows say.
    """
    damaged = await readers.rows(DAMAGED_BATCHES, (limit,))
    unread = await readers.rows(SET_ASIDE_BATCHES, (max(limit - len(damaged), 0),))
    batches = [
        *({**_aside(row), "damaged": True} for row in damaged),
        *(_aside(row) for row in unread),
    ]
    records = [
        {
            "id": f"{batch.hex()}:{index}",
            "stream": stream.hex(),
            "seq": seq,
            "epoch": epoch,
            "reason": reason,
            "fields": orjson.loads(fields),
        }
        for batch, index, stream, seq, epoch, reason, fields in await readers.rows(
            SET_ASIDE_RECORDS, (limit,)
        )
    ]
    return batches, records


def _aside(row: Sequence[Any]) -> Row:
    batch, stream, seq, epoch, count, first_ms, last_ms, reason = row
    return {
        "batch": batch.hex(),
        "stream": stream.hex(),
        "seq": seq,
        "epoch": epoch,
        "count": count,
        "first": _moment(first_ms),
        "last": _moment(last_ms),
        "reason": reason,
    }


def _moment(moment_ms: int) -> str | None:
    """Write a moment out of a header, which nobody has vouched for."""
    return rfc3339(moment_ms) if moment_ms <= TIME_MS_MAX else None


def _written(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else rfc3339(moment_ms)


def _stream(row: Sequence[Any]) -> StoredStream:
    stream, created_ms, is_open, present, seq, last_seq, lag_records, behind, *rest = row
    fault, branch_seq, forked_ms, abandoned_ms, swept_ms = rest
    return StoredStream(
        stream=StreamId(stream),
        created_ms=Millis(created_ms),
        open=bool(is_open),
        present=bool(present),
        seq=Seq(seq),
        last_seq=Seq(last_seq),
        lag_records=lag_records,
        behind=bool(behind),
        fault=fault,
        branch_seq=branch_seq,
        forked_ms=forked_ms,
        abandoned_ms=abandoned_ms,
        swept_ms=swept_ms,
    )
