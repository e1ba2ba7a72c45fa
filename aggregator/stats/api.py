"""The call that counts hits, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.asking.filters import BOTS, CHOICES
from aggregator.asking.times import ZONE_CHARS_MAX
from aggregator.schemas import INTEGER, TEXT, choice, limit, moment
from aggregator.searching.api import FILTERS, TOO_BROAD
from aggregator.stats.buckets import INTERVALS
from aggregator.stats.question import EXCLUDE, GROUPS, LIMIT_DEFAULT, LIMIT_MAX
from milepost.openapi import Answer, Call, Parameter, Schema, object_of, ref
from milepost.tokens import HITS_READ

MOMENT: Schema = {"type": "string", "description": "RFC 3339 in the time zone that was asked for"}
COUNTS: dict[str, Schema] = {"hits": INTEGER, "clicks": INTEGER, "uniques": INTEGER}
ALWAYS = ("hits", "clicks")  # uniques may be left out
NUMBERS: Schema = {"type": "array", "items": INTEGER}
VALUE: Schema = {"type": ["string", "integer", "null"]}  # null: absent

GROUP = object_of(
    {
        **dict.fromkeys(GROUPS, VALUE),
        **COUNTS,
        "series": object_of(dict.fromkeys(COUNTS, NUMBERS), required=ALWAYS),
    },
    required=ALWAYS,
)
STATS = object_of(
    {
        "start": MOMENT,
        "end": MOMENT,
        "tz": TEXT,
        "bots": TEXT,
        "rolled": {"type": "boolean", "description": "whether it was told out of rollups"},
        "epochs": {"type": "integer", "description": "how many epochs the uniques add up"},
        "rows_since": MOMENT,
        "total": object_of(COUNTS, required=ALWAYS),
        "interval": TEXT,
        "series": {
            "type": "array",
            "items": object_of({"start": MOMENT, **COUNTS}, required=("start", *ALWAYS)),
        },
        "group_by": {"type": "array", "items": TEXT},
        "groups": {"type": "array", "items": ref("Group")},
        "rest": object_of({"groups": INTEGER, "hits": INTEGER, "clicks": INTEGER}),
    },
    required=("start", "end", "tz", "bots", "rolled", "epochs", "total"),
)
STATS_CALLS = (
    Call(
        name="sum_hits",
        method="GET",
        path="/v1/stats",
        meaning="Count hits, clicks and visitors.",
        scope=HITS_READ,
        narrows=True,
        parameters=(
            *FILTERS,
            choice(BOTS, "what is no person: left out, or not, or alone", EXCLUDE, *CHOICES[::2]),
            moment("start", "hours from this moment on; 30 days before the end by default"),
            moment("end", "hours before this moment; now by default"),
            Parameter(
                name="tz",
                meaning="the time zone of hours, days, weeks and months; UTC by default",
                schema={"type": "string", "minLength": 1, "maxLength": ZONE_CHARS_MAX},
            ),
            Parameter(
                name="group_by",
                meaning=f"one or two, with a comma between them, of {', '.join(GROUPS)}",
                schema={"type": "string", "minLength": 1, "maxLength": 64},
            ),
            choice("interval", "a series of these as well", *INTERVALS),
            choice("uniques", "whether visitors are told as well", "true", "false"),
            limit(LIMIT_DEFAULT, LIMIT_MAX),
        ),
        answer=Answer(meaning="what was counted", schema=ref("Stats")),
        problems=(TOO_BROAD,),
    ),
)
STATS_SCHEMAS = {"Group": GROUP, "Stats": STATS}
