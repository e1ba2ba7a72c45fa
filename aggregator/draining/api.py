"""The call that the key server makes before it destroys, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.
"""

from aggregator.schemas import HEX, INTEGER, TEXT, TEXTS
from milepost.openapi import Answer, Call, Parameter, Schema, object_of
from milepost.tokens import DRAINED, HITS_READ

NOT_FOUND = 404
NUMBER: Schema = {"type": "string", "pattern": "^[0-9]{1,15}$"}
BEHIND = object_of(
    {"stream": HEX, "source": TEXT, "records": INTEGER, "fault": TEXT},
    required=("stream", "source", "records"),
)
FINDING = object_of(
    {
        "epoch": INTEGER,
        "now_ms": INTEGER,
        "drained": {"type": "boolean"},
        "clicks": INTEGER,
        "set_aside": INTEGER,
        "reasons": TEXTS,
        "streams": {"type": "array", "items": BEHIND},
    }
)
DRAINING_CALLS = (
    Call(
        name="tell_drained",
        method="GET",
        path="/v1/drained",
        meaning="Tell whether anything still needs an epoch's record key.",
        scope=DRAINED,
        or_scope=HITS_READ,
        parameters=(
            Parameter(name="epoch", meaning="its number", schema=NUMBER),
            Parameter(name="end_ms", meaning="when it ended; as is listed", schema=NUMBER),
            Parameter(name="grace_ms", meaning="for how long stragglers seal", schema=NUMBER),
        ),
        answer=Answer(meaning="what is known", schema=FINDING),
        problems=(NOT_FOUND,),
    ),
)
