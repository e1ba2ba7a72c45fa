"""The calls of positions, for the table of all calls: what they take, and what they answer.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from link_registry.positions.board import NAME_PATTERN
from link_registry.schemas import INTEGER, MILLIS, TEXT
from milepost.links import PLACE_PATTERN
from milepost.openapi import Answer, Call, Schema, object_of, or_null, ref, whole
from milepost.tokens import FEED, LINKS_READ

NO_CONTENT = 204
NAME: Schema = {"type": "string", "pattern": whole(NAME_PATTERN)}
PLACE: Schema = {
    "type": "string",
    "pattern": whole(PLACE_PATTERN),
    "description": "the id of an event of the feed",
}
REPORT = object_of(
    {"region": NAME, "machine": NAME, "place": or_null(PLACE)}, required=("region", "machine")
)
POSITION = object_of(
    {
        "region": TEXT,
        "machine": TEXT,
        "place": or_null(TEXT),
        "behind": or_null({**INTEGER, "description": "changes; null: it needs a snapshot"}),
        "behind_ms": MILLIS,
        "silent_ms": MILLIS,
        "heard_ms": MILLIS,
    }
)
POSITIONS = object_of(
    {"newest": TEXT, "machines": {"type": "array", "items": ref("Position")}},
)
POSITION_SCHEMAS = {"Position": POSITION, "Positions": POSITIONS}

LIST_POSITIONS = Call(
    name="list_positions",
    method="GET",
    path="/v1/feed/positions",
    meaning="Tell how far each edge has followed the feed.",
    scope=LINKS_READ,
    answer=Answer(meaning="what was reported since the start", schema=ref("Positions")),
)
REPORT_POSITION = Call(
    name="report_position",
    method="POST",
    path="/v1/feed/positions",
    meaning="Report how far an edge has followed the feed.",
    scope=FEED,
    body=REPORT,
    answer=Answer(status=NO_CONTENT, meaning="it is noted"),
    told_only=True,
)
