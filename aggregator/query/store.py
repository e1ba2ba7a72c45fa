"""The SQL that answers questions.  It only reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from aggregator.hits.store import COLUMNS, INTERNED
from aggregator.opening.batches import TIME_MS_MAX
from aggregator.query.params import ARRIVAL, Place, Question, rfc3339
from milepost.database import Readers
from milepost.vocabulary import Millis, Seq, StreamId

HITS = f"""
    SELECT (SELECT applied.batch FROM applied WHERE applied.id = hit.batch),
           {", ".join(COLUMNS)}
      FROM hit
"""
TEXT_FILTER = "{name} = (SELECT id FROM text WHERE value = ?)"
BY_TIME, BY_ARRIVAL = "(time_ms, batch, idx)", "(batch, idx)"
TEXTS = "SELECT id, value FROM text WHERE id IN (SELECT value FROM json_each(?))"

SOURCES = "SELECT url, region, machine, version, last_success_ms FROM source"
# Also those that are gone although something announced never came.  What a swept one lacks is
# lost: nobody is behind with it.
STREAMS = """
    SELECT source, stream, created_ms, open, present, seq, last_seq,
           iif(swept_ms IS NULL, max(last_records - records, 0), 0), fault, swept_ms
      FROM stream WHERE present = 1 OR seq < last_seq ORDER BY source, created_ms
"""

# The newest first: what has just gone wrong is what one looks for.
SET_ASIDE_BATCHES = """
    SELECT applied.batch, stream, seq, applied.epoch, count, first_ms, last_ms, reason
      FROM sealed JOIN applied USING (batch)
     WHERE reason IS NOT NULL ORDER BY applied.id DESC LIMIT ?
"""
SET_ASIDE_RECORDS = """
    SELECT set_aside_record.batch, idx, stream, seq, epoch, reason, fields
      FROM set_aside_record JOIN applied USING (batch)
     ORDER BY applied.id DESC, idx LIMIT ?
"""

Row = dict[str, Any]
_TOLD = tuple(name for name in COLUMNS if name not in {"batch", "idx", "time_ms"})


async def find_hits(readers: Readers, question: Question) -> tuple[list[Row], Place | None]:
    """Return a page of hits, and the place of its last row if there are more."""
    sql, values = _page(question)
    async with readers.snapshot() as db:
        rows = list(await db.execute_fetchall(sql, values))
        more, rows = len(rows) > question.limit, rows[: question.limit]
        ids = orjson.dumps(sorted(_text_ids(rows))).decode()
        texts = {row[0]: row[1] for row in await db.execute_fetchall(TEXTS, (ids,))}
    last = Place(rows[-1][3], rows[-1][1], rows[-1][2]) if more else None
    return [_hit(row, texts) for row in rows], last


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
    fault: str | None
    swept_ms: Millis | None


async def find_sources(readers: Readers) -> tuple[dict[str, Row], dict[str, list[StoredStream]]]:
    """Return what is stored of each source, and of its streams, by url."""
    sources: dict[str, Row] = {}
    for url, region, machine, version, success_ms in await readers.rows(SOURCES):
        sources[url] = {
            "region": region,
            "machine": machine,
            "version": version,
            "last_success": rfc3339(success_ms),
        }
    streams: dict[str, list[StoredStream]] = {}
    for url, *rest in await readers.rows(STREAMS):
        streams.setdefault(url, []).append(_stream(rest))
    return sources, streams


async def find_set_aside(readers: Readers, limit: int) -> tuple[list[Row], list[Row]]:
    """Return the newest batches that are set aside, and the newest records that are so alone."""
    batches = [
        {
            "batch": batch.hex(),
            "stream": stream.hex(),
            "seq": seq,
            "epoch": epoch,
            "count": count,
            "first": _moment(first_ms),
            "last": _moment(last_ms),
            "reason": reason,
        }
        for batch, stream, seq, epoch, count, first_ms, last_ms, reason in await readers.rows(
            SET_ASIDE_BATCHES, (limit,)
        )
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


def _page(question: Question) -> tuple[str, list[Any]]:
    conditions = [TEXT_FILTER.format(name=name) for name in question.texts]
    values: list[Any] = list(question.texts.values())
    for condition, value in (
        ("visitor = ?", question.visitor),
        ("time_ms >= ?", question.start_ms),
        ("time_ms < ?", question.end_ms),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    by_arrival = question.order == ARRIVAL
    key = BY_ARRIVAL if by_arrival else BY_TIME
    if question.after is not None:
        place = question.after[1:] if by_arrival else question.after
        conditions.append(f"{key} {'<' if question.descending else '>'} {_marks(place)}")
        values += place
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    way = " DESC" if question.descending else ""
    order = ", ".join(f"{column}{way}" for column in key.strip("()").split(", "))
    return f"{HITS} {where} ORDER BY {order} LIMIT ?", [*values, question.limit + 1]


def _moment(moment_ms: int) -> str | None:
    """Write a moment out of a header, which nobody has vouched for."""
    return rfc3339(moment_ms) if moment_ms <= TIME_MS_MAX else None


def _marks(values: Sequence[Any]) -> str:
    return f"({', '.join('?' * len(values))})"


def _text_ids(rows: Iterable[Any]) -> set[int]:
    first = 1 + COLUMNS.index(INTERNED[0])  # they stand together, at the end
    return {number for row in rows for number in row[first:] if number is not None}


def _hit(row: Any, texts: dict[int, str]) -> Row:
    batch, number, index, time_ms, *rest = row
    del number
    told: Row = {"id": f"{batch.hex()}:{index}", "time": rfc3339(time_ms)}
    for name, value in zip(_TOLD, rest, strict=True):
        if value is None:
            continue
        if name in _INTERNED:
            told[name] = texts[value]
        elif name == "visitor":
            told[name] = value.hex()
        else:
            told[name] = bool(value) if name == "opt_out" else value
    return told


def _stream(row: Sequence[Any]) -> StoredStream:
    stream, created_ms, is_open, present, seq, last_seq, lag_records, fault, swept_ms = row
    return StoredStream(
        stream=StreamId(stream),
        created_ms=Millis(created_ms),
        open=bool(is_open),
        present=bool(present),
        seq=Seq(seq),
        last_seq=Seq(last_seq),
        lag_records=lag_records,
        fault=fault,
        swept_ms=swept_ms,
    )


_INTERNED = frozenset(INTERNED)
