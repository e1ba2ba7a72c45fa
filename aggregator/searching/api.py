"""The calls that find hits, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.asking.filters import (
    BOTS,
    CHOICES,
    INTEGERS,
    NAMES,
    OWN_INDEX,
    TEXT_CHARS_MAX,
    VALUES_MAX,
)
from aggregator.asking.times import ZONE_CHARS_MAX
from aggregator.rolling.fields import DERIVED
from aggregator.schemas import CURSOR, HEX, INTEGER, MOMENT, TEXT, choice, limit, moment
from aggregator.searching.question import ARRIVAL, ASCENDING, DESCENDING, TIME
from aggregator.searching.rows import CSV, FIELDS, JSON, JSONL, MEDIA, PARQUET, TEXTUAL, TSV
from milepost.openapi import Answer, Call, Parameter, Schema, object_of, or_null, ref
from milepost.tokens import HITS_READ

TOO_BROAD, TOO_MANY_NOW = 422, 429

HIT = object_of(
    {
        **dict.fromkeys(FIELDS, TEXT),
        **dict.fromkeys((*INTEGERS, "epoch"), INTEGER),
        "time": MOMENT,
        "visitor": HEX,
        "opt_out": {"type": "boolean"},
    },
    required=(),  # `columns` says which, and what is absent is left out
)
FORMS: dict[str, Schema] = {
    **{name: {"type": "string", "pattern": "^!?[0-9]{0,18}$"} for name in INTEGERS},
    "opt_out": {"type": "string", "enum": ["true", "false", "!true", "!false", "", "!"]},
    OWN_INDEX[0]: {"type": "string", "pattern": "^!?([0-9a-fA-F]{32})?$"},
    "url": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX},
}
ANY_TEXT: Schema = {"type": "string", "maxLength": TEXT_CHARS_MAX}


def _meaning(name: str) -> str:
    if name == "url":
        return "host and path as received; with * at the end: what begins so; !url: all others"
    told = "worked out of the hit" if name in DERIVED else "as stored"
    return f"{name}, {told}: this value, !value: any other, empty: none; several times: one of them"


FILTERS = (
    *(
        Parameter(
            name=name,
            meaning=_meaning(name),
            schema=FORMS.get(name, ANY_TEXT),
            times_max=VALUES_MAX,
        )
        for name in NAMES
        if name != BOTS
    ),
)
BOTS_TOO = choice(BOTS, "also what is no person, as by default; or not; or that alone", *CHOICES)
SPAN = (
    moment("start", "from this moment on"),
    moment("end", "before this moment"),
    Parameter(
        name="tz",
        meaning="the time zone in which a day of `start` and `end` begins; UTC by default",
        schema={"type": "string", "minLength": 1, "maxLength": ZONE_CHARS_MAX},
    ),
)
COLUMNS = Parameter(
    name="columns",
    meaning=f"which fields, with commas between them: {', '.join(FIELDS)}",
    schema={"type": "string", "minLength": 1, "maxLength": len(",".join(FIELDS))},
)


def _others(*forms: str) -> dict[str, Schema]:
    return {
        MEDIA[form]: TEXT if form in TEXTUAL else {"type": "string", "format": "binary"}
        for form in forms
    }


PAGE = object_of(
    {
        "hits": {"type": "array", "items": ref("Hit")},
        "next": or_null(TEXT),
        "previous": or_null(TEXT),
        "newer": or_null(TEXT),
    },
    required=("hits", "next", "previous"),
)
SEARCHING_CALLS = (
    Call(
        name="list_hits",
        method="GET",
        path="/v1/hits",
        meaning="List hits.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            *FILTERS,
            BOTS_TOO,
            *SPAN,
            choice("order", "by time, or as they came", TIME, ARRIVAL),
            choice(
                *("direction", "by time the newest first, else the oldest, unless asked otherwise"),
                *(ASCENDING, DESCENDING),
            ),
            limit(),
            CURSOR,
            choice("format", "how they are told", JSON, JSONL, CSV, TSV),
            COLUMNS,
        ),
        answer=Answer(meaning="a page of hits", schema=PAGE, others=_others(JSONL, CSV, TSV)),
        problems=(TOO_BROAD,),
    ),
    Call(
        name="export_hits",
        method="GET",
        path="/v1/export",
        meaning="Tell all hits that are asked for, in the order in which they came.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            *FILTERS,
            BOTS_TOO,
            *SPAN,
            choice("format", "how they are told", JSONL, CSV, TSV, PARQUET),
            COLUMNS,
        ),
        answer=Answer(
            meaning="every hit",
            schema=TEXT,
            media=MEDIA[JSONL],
            others=_others(CSV, TSV, PARQUET),
        ),
        problems=(TOO_BROAD, TOO_MANY_NOW),
    ),
)
SEARCHING_SCHEMAS = {"Hit": HIT}
