"""The calls that forget, or take for another, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.forgetting.rules import VALUE_BYTES_MAX
from aggregator.schemas import INTEGER, MOMENT, TEXT
from milepost.openapi import Answer, Call, Schema, object_of, or_null
from milepost.tokens import ERASE_WRITE, HITS_READ
from milepost.visitor import HASH_BYTES

TRUTH: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": VALUE_BYTES_MAX}
VISITOR: Schema = {"type": "string", "pattern": f"^[0-9a-f]{{{2 * HASH_BYTES}}}$"}
NAMED: dict[str, Schema] = {"visitor": VISITOR, "link": NAME, "host": NAME}
DRY_RUN: dict[str, Schema] = {"dry_run": TRUTH}

TARGET: Schema = {
    **object_of({**NAMED, **DRY_RUN}, required=()),
    "oneOf": [{"required": [name]} for name in NAMED],
}
RULE = object_of(
    {
        **dict.fromkeys(NAMED, TEXT),
        "at": MOMENT,
        "who": TEXT,
        "removed": INTEGER,
        "carried_out": {"type": "number", "minimum": 0, "maximum": 1},
        "done": or_null(MOMENT),
        "kept": TRUTH,
    },
    required=("at", "who", "removed", "carried_out", "done", "kept"),
)
ERASED: Schema = {
    "anyOf": [
        object_of({"rule": RULE}),
        object_of(
            {**dict.fromkeys(NAMED, TEXT), **DRY_RUN, "hits": INTEGER, "counted": INTEGER},
            required=("dry_run", "hits"),
        ),
    ]
}
AGES = object_of(
    {
        "kinds": {
            "type": "array",
            "items": object_of(
                {"kind": TEXT, "before": MOMENT, "rows_since": MOMENT}, required=("kind",)
            ),
        }
    }
)
RETAINED = object_of(
    {
        "kinds": {
            "type": "array",
            "items": object_of({"kind": TEXT, "before": MOMENT, "hits": INTEGER}),
        },
        "dry_run": TRUTH,
        "more": TRUTH,
    }
)
COUNTS: dict[str, Schema] = {"hits": INTEGER, "clicks": INTEGER}
RECLASSIFIED: Schema = {
    "anyOf": [
        object_of(dict.fromkeys(("agents", "changed", "hits", "left"), INTEGER)),
        object_of(
            {
                **dict.fromkeys(("agents", "changed", "hits", "clicks"), INTEGER),
                "links": {
                    "type": "array",
                    "items": object_of(
                        {
                            "link": TEXT,
                            "from": TEXT,
                            "to": TEXT,
                            "hits": INTEGER,
                            "clicks": INTEGER,
                        },
                        required=("from", "to", "hits", "clicks"),
                    ),
                },
            }
        ),
    ]
}
FORGETTING_CALLS = (
    Call(
        name="list_erased",
        method="GET",
        path="/v1/erase",
        meaning="List the erase rules, and how far each is carried out.",
        scope=ERASE_WRITE,
        answer=Answer(
            meaning="all of them", schema=object_of({"rules": {"type": "array", "items": RULE}})
        ),
    ),
    Call(
        name="erase",
        method="POST",
        path="/v1/erase",
        meaning="Erase one visitor, link or host, now and from whatever comes later.",
        scope=ERASE_WRITE,
        body=TARGET,
        answer=Answer(meaning="the rule, or what there is to erase", schema=ERASED),
    ),
    Call(
        name="tell_retention",
        method="GET",
        path="/v1/retention",
        meaning="Tell how long hits are kept, and since when there are any.",
        scope=HITS_READ,
        answer=Answer(meaning="by kind", schema=AGES),
    ),
    Call(
        name="retain",
        method="POST",
        path="/v1/retention",
        meaning="Remove hits that are too old, for a while; or count them.",
        scope=ERASE_WRITE,
        body=object_of(DRY_RUN, required=()),
        answer=Answer(meaning="what was removed, and whether there is more", schema=RETAINED),
    ),
    Call(
        name="reclassify",
        method="POST",
        path="/v1/reclassify",
        meaning="Classify again what older lists classified, for a while; or tell what changes.",
        scope=ERASE_WRITE,
        body=object_of(DRY_RUN, required=()),
        answer=Answer(meaning="what was done, or would be", schema=RECLASSIFIED),
    ),
)
