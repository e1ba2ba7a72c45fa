"""The calls about sources and what is set aside, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.query import params as ask
from aggregator.schemas import COUNT, HEX, INTEGER, MOMENT, SECONDS, TEXT, TEXTS, limit
from milepost.openapi import Answer, Call, Schema, object_of, ref
from milepost.tokens import HITS_READ, HITS_WRITE

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


QUERY_CALLS = (
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
QUERY_SCHEMAS = {"Stream": STREAM, "Source": SOURCE, "Sources": SOURCES}
