"""The calls about hits, sources and what is set aside, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.query import params as ask
from aggregator.schemas import (
    COUNT,
    CURSOR,
    HEX,
    INTEGER,
    MOMENT,
    REGION,
    SECONDS,
    TEXT,
    TEXTS,
    VISITOR,
    filter_by,
    limit,
    moment,
)
from milepost.openapi import Answer, Call, Parameter, Schema, object_of, or_null, ref
from milepost.tokens import HITS_READ, HITS_WRITE

TEXT_FIELDS = (
    *("session", "ulid", "kind", "method", "host", "path", "target", "region", "link"),
    *("variant", "country", "subdivision", "agent", "referer", "source"),
    *("source_kind", "range", "language", "arguments", "cut", "oddity"),
)
HIT = object_of(
    {
        "id": TEXT,
        "time": MOMENT,
        "epoch": INTEGER,
        "status": INTEGER,
        "visitor": HEX,
        "asn": INTEGER,
        "opt_out": {"type": "boolean"},
        **dict.fromkeys(TEXT_FIELDS, TEXT),
    },
    required=("id", "time", "kind", "method", "host", "path", "target", "status", "region"),
)
STREAM = object_of(
    {
        "stream": HEX,
        "open": {"type": "boolean"},
        "present": {"type": "boolean"},
        "seq": INTEGER,
        "last_seq": INTEGER,
        "lag_records": INTEGER,
        "lag_seconds": SECONDS,
        "fault": TEXT,
        "forked": MOMENT,
        "branch_seq": INTEGER,
        "abandoned": MOMENT,
        "written_off": INTEGER,
        "swept": MOMENT,
    },
    required=("stream", "open", "present", "seq", "last_seq", "lag_records", "lag_seconds"),
)
SOURCE = object_of(
    {
        "url": TEXT,
        "state": {"type": "string", "enum": ["known", "gone", "abandoned"]},
        "region": TEXT,
        "machine": TEXT,
        "version": TEXT,
        "last_success": MOMENT,
        "last_error": TEXT,
        "gone": MOMENT,
        "abandoned": MOMENT,
        "swept": {"type": "boolean"},
        "unreadable": TEXTS,
        "lag_records": INTEGER,
        "lag_seconds": SECONDS,
        "streams": {"type": "array", "items": ref("Stream")},
    },
    required=("url", "state", "lag_records", "lag_seconds", "streams"),
)
REPLICAS: Schema = {"type": "object", "description": "with an object store: how its sweep does"}
SOURCES = object_of(
    {
        "sources": {"type": "array", "items": ref("Source")},
        "waiting": COUNT,
        "set_aside": COUNT,
        "replicas": REPLICAS,
    },
    required=("sources", "waiting", "set_aside"),
)
SET_ASIDE = object_of(
    {
        "total": COUNT,
        "batches": {"type": "array", "items": {"type": "object"}},
        "records": {"type": "array", "items": {"type": "object"}},
    }
)
RETRIED = object_of(
    {"opened": INTEGER, "hits": INTEGER, "set_aside": INTEGER, "damaged": INTEGER},
    required=("opened", "hits", "set_aside"),
)


def _choice(name: str, meaning: str, *known: str) -> Parameter:
    return Parameter(name=name, meaning=meaning, schema={"type": "string", "enum": list(known)})


QUERY_CALLS = (
    Call(
        name="list_hits",
        method="GET",
        path="/v1/hits",
        meaning="List hits.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            REGION,
            filter_by("kind", "of this kind: prefix, link or orphan"),
            filter_by("link", "of the link with this id"),
            filter_by("host", "of this host"),
            Parameter(name="visitor", meaning="with this visitor hash", schema=VISITOR),
            moment("start", "from this moment on"),
            moment("end", "before this moment"),
            _choice("order", "by time, or as they came", ask.TIME, ask.ARRIVAL),
            _choice(
                *("direction", "by time the newest first, else the oldest, unless asked otherwise"),
                *(ask.ASCENDING, ask.DESCENDING),
            ),
            limit(),
            CURSOR,
        ),
        answer=Answer(
            meaning="a page of hits",
            schema=object_of(
                {"hits": {"type": "array", "items": ref("Hit")}, "next": or_null(TEXT)}
            ),
        ),
    ),
    Call(
        name="list_sources",
        method="GET",
        path="/v1/sources",
        meaning="List every source that was ever known, and how far it is pulled.",
        scope=HITS_READ,
        answer=Answer(meaning="all of them", schema=ref("Sources")),
    ),
    Call(
        name="list_set_aside",
        method="GET",
        path="/v1/set-aside",
        meaning="List what could not be read, the newest first.",
        scope=HITS_READ,
        parameters=(limit(most=ask.SET_ASIDE_MAX),),
        answer=Answer(meaning="batches, and single records", schema=SET_ASIDE),
    ),
    Call(
        name="retry_set_aside",
        method="POST",
        path="/v1/set-aside/retry",
        meaning="Try every batch that is set aside again, with a fresh key.",
        scope=HITS_WRITE,
        answer=Answer(meaning="what came of it", schema=RETRIED),
    ),
)
QUERY_SCHEMAS = {"Hit": HIT, "Stream": STREAM, "Source": SOURCE, "Sources": SOURCES}
