"""The call that tells what became of every visit, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.
"""

from dataclasses import fields

from aggregator.query.params import HOURS_DEFAULT
from aggregator.reconciling.rules import Reckoning
from aggregator.schemas import HEX, INTEGER, MOMENT, REGION, TEXT, limit, moment
from milepost.openapi import Answer, Call, Schema, object_of, or_null
from milepost.tokens import HITS_READ

COUNTS: dict[str, Schema] = {each.name: INTEGER for each in fields(Reckoning)}
HOUR: dict[str, Schema] = {"region": TEXT, "hour": MOMENT}
SPAN = object_of(
    {"region": TEXT, "machine": TEXT, "life": HEX, "from": MOMENT, "until": or_null(MOMENT)}
)


def _list_of(properties: dict[str, Schema]) -> Schema:
    return {"type": "array", "items": object_of(properties)}


RECONCILING_CALLS = (
    Call(
        name="reconcile",
        method="GET",
        path="/v1/reconciliation",
        meaning="Tell what became of every visit, and what is unaccounted for.",
        scope=HITS_READ,
        parameters=(
            REGION,
            moment("start", "hours from this moment on"),
            moment("end", "hours before this moment"),
            limit(default=HOURS_DEFAULT),
        ),
        answer=Answer(
            meaning="sums over everything, and hours",
            schema=object_of(
                {
                    "total": object_of(COUNTS),
                    "regions": _list_of({"region": TEXT} | COUNTS),
                    "unaccounted": _list_of(HOUR | {"unaccounted": INTEGER}),
                    "spans": {"type": "array", "items": SPAN},
                    "hours": _list_of(HOUR | COUNTS),
                    "next": or_null(MOMENT),
                }
            ),
        ),
    ),
)
