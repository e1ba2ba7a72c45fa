"""Hits as OP3 tells them: rows of the database in, a table of seventeen columns out.

Rules of this file:
- Pure.
- A column of which nothing is known is there all the same, and empty.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from aggregator.op3.asked import ASN, JSON_A, TSV, hashed
from aggregator.op3.continents import continent_of
from aggregator.searching.rows import TEXTS, written_moment

COLUMNS = (
    *("time", "uuid", "hashedIpAddress", "method", "url", "userAgent", "referer", "range"),
    *("xpsId", "ulid", "edgeColo", "continent", "country", "timezone", "regionCode", "region"),
    "metroCode",
)
UUID_BYTES = 16
PLACE_COLUMNS = 3  # what stands in front of the fields that were asked for

STORED = (
    *("batch", "epoch", "visitor", "method", "host", "path", "agent", "referer", "range"),
    *("session", "ulid", "region", "country", "subdivision", "asn"),
)
TEXT_PLACES = [at for at, name in enumerate(STORED, PLACE_COLUMNS) if name in TEXTS]

# OP3 deletes tabs.  So is everything else that somebody may take for the end of a line.
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")

Row = tuple[str | None, ...]


def uuid_of(batch: str, idx: int) -> str:
    """Return the number of the hit with the id `<batch>:<idx>`: the same one for ever."""
    return blake2b(f"{batch}:{idx}".encode(), digest_size=UUID_BYTES).hexdigest()


def rows_of(
    raw: Sequence[Sequence[Any]], texts: Mapping[int, str], epoch: int | None
) -> Iterator[Row]:
    """Give each hit as its columns and its network; without those that are not of *epoch*."""
    for time_ms, _, idx, *values in raw:
        told = dict(zip(STORED, values, strict=True))
        if epoch is not None and told["epoch"] != epoch:
            continue
        text = {name: texts.get(told[name]) for name in TEXTS.intersection(STORED)}
        yield (
            written_moment(time_ms),
            uuid_of(told["batch"], idx),
            None if told["visitor"] is None else hashed(told["visitor"], told["epoch"]),
            text["method"],
            f"https://{text['host']}{text['path']}",
            text["agent"],
            text["referer"],
            text["range"],
            told["session"],
            told["ulid"],
            str(text["region"]).upper(),
            continent_of(text["country"]),
            text["country"],
            None,
            text["subdivision"],
            None,
            None,
            None if told["asn"] is None else str(told["asn"]),
        )


def written(rows: Sequence[Row], form: str, *, with_asn: bool, query_ms: int) -> bytes:
    """Return *rows* in the format *form*."""
    names = (*COLUMNS, ASN) if with_asn else COLUMNS
    rows = [row[: len(names)] for row in rows]
    if form == TSV:
        lines = [names, *(map(_cell, row) for row in rows)]
        return "".join("\t".join(line) + "\n" for line in lines).encode()
    tail = {"count": len(rows), "queryTime": query_ms}
    if form == JSON_A:
        return _dumped({"headers": names, "rows": rows, **tail})
    objects = [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in rows
    ]
    return _dumped({"rows": objects, **tail})


def _cell(value: str | None) -> str:
    return "" if value is None else _BREAKS.sub("", value)


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)
