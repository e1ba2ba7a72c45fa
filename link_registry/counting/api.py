"""The calls of click limits, for the table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from link_registry.counting import rules
from link_registry.schemas import CURSOR, INTEGER, LIMIT, TEXT, page_of
from milepost.openapi import Answer, Call, Schema, object_of, ref
from milepost.tokens import LINKS_COUNT

LIMITED = object_of({"id": TEXT, "clicks": INTEGER, "click_limit": INTEGER})
TOTALS: Schema = {
    "type": "object",
    "propertyNames": {"type": "string", "minLength": 1, "maxLength": rules.ID_CHARS_MAX},
    "additionalProperties": {"type": "integer", "minimum": 0, "maximum": rules.CLICKS_MAX},
    "maxProperties": rules.LINKS_MAX,
    "description": "by the link's id, all clicks that were ever counted of it",
}

COUNT_CALLS = (
    Call(
        name="list_limited",
        method="GET",
        path="/v1/links/limited",
        meaning="List the links that have a click limit and are enabled, by id.",
        scope=LINKS_COUNT,
        parameters=(LIMIT, CURSOR),
        answer=Answer(meaning="a page", schema=page_of("links", "Limited")),
    ),
    Call(
        name="note_counts",
        method="POST",
        path="/v1/links/counts",
        meaning="Tell how many clicks links have had; those that have reached their limit end.",
        scope=LINKS_COUNT,
        body=ref("Counts"),
        answer=Answer(
            meaning="the ids of the links that were disabled by it",
            schema=object_of({"disabled": {"type": "array", "items": TEXT}}),
        ),
    ),
)
COUNT_SCHEMAS = {"Limited": LIMITED, "Counts": object_of({"counts": TOTALS})}
