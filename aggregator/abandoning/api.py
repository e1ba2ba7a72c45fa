"""The calls that write off what will never come, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.
"""

from aggregator.abandoning.handlers import SOURCE_CHARS_MAX
from aggregator.schemas import HEX, INTEGER, TEXT, TEXTS
from milepost.batch import ID_BYTES
from milepost.openapi import Answer, Call, Parameter, Schema, object_of
from milepost.tokens import HITS_READ, HITS_WRITE

NOT_FOUND, CONFLICT = 404, 409
STREAM: Schema = {"type": "string", "pattern": f"^[0-9a-fA-F]{{{2 * ID_BYTES}}}$"}
SOURCE: Schema = {"type": "string", "minLength": 1, "maxLength": SOURCE_CHARS_MAX}
TARGET: Schema = {
    "oneOf": [object_of({"stream": STREAM}), object_of({"source": SOURCE})],
    "description": "one stream, or one source by its url",
}
LOST = object_of(
    {
        "stream": HEX,
        "source": TEXT,
        "open": {"type": "boolean"},
        "records": INTEGER,
        "abandoned": {"type": "boolean"},
        "fault": TEXT,
    },
    required=("stream", "source", "open", "records", "abandoned"),
)
PROSPECT = object_of(
    {"streams": {"type": "array", "items": LOST}, "records": INTEGER, "unreadable": TEXTS}
)
ABANDONING_CALLS = (
    Call(
        name="look_before_abandoning",
        method="GET",
        path="/v1/sources/abandon",
        meaning="Tell what abandoning a stream or a source would write off.",
        scope=HITS_READ,
        parameters=(
            Parameter(name="stream", meaning="the id of a stream", schema=STREAM),
            Parameter(name="source", meaning="or the url of a source", schema=SOURCE),
        ),
        answer=Answer(meaning="what would be lost", schema=PROSPECT),
        problems=(NOT_FOUND, CONFLICT),
    ),
    Call(
        name="abandon",
        method="POST",
        path="/v1/sources/abandon",
        meaning="Write off what was announced and will never come.",
        scope=HITS_WRITE,
        body=TARGET,
        answer=Answer(meaning="what is written off", schema=PROSPECT),
        problems=(NOT_FOUND, CONFLICT),
    ),
)
