"""The SQL that answers questions.  It only reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from aggregator.access.narrowing import EVERYTHING, Narrowing
from aggregator.access.store import conditions as conditions_of
from aggregator.draining.store import SWEPT
from aggregator.hits.store import COLUMNS, INTERNED
from aggregator.opening.batches import TIME_MS_MAX
from aggregator.pulling.store import BEHIND, RECORDS_BEHIND
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
_TOLD = tuple(name for name in COLUMNS if name not in {"batch", "idx", "time_ms"})


async def find_hits(
    readers: Readers, question: Question, narrowing: Narrowing = EVERYTHING
) -> tuple[list[Row], Place | None]:
    """Return a page of hits, and the place of its last row if there are more."""
    sql, values = _page(question, narrowing)
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


def _page(question: Question, narrowing: Narrowing) -> tuple[str, list[Any]]:
    seen, names = conditions_of(narrowing)
    conditions = [*seen, *(TEXT_FILTER.format(name=name) for name in question.texts)]
    values: list[Any] = [*names, *question.texts.values()]
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


def _written(moment_ms: int | None) -> str | None:
    return None if moment_ms is None else rfc3339(moment_ms)


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


_INTERNED = frozenset(INTERNED)
