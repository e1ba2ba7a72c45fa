"""What the aggregator's tables of calls have in common.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from aggregator.asking.filters import TEXT_CHARS_MAX
from aggregator.query.params import LIMIT_DEFAULT, LIMIT_MAX
from aggregator.searching.question import CURSOR_CHARS_MAX
from milepost.openapi import Parameter, Schema, object_of

MOMENT_CHARS_MAX = 64  # no spelling of a moment is longer
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
SECONDS: Schema = {"type": "number", "minimum": 0}
HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]*$"}
MOMENT: Schema = {"type": "string", "description": "RFC 3339 with milliseconds, UTC"}
TEXTS: Schema = {"type": "array", "items": TEXT}
COUNT = object_of({"batches": INTEGER, "records": INTEGER})
FILTER: Schema = {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX}


def limit(default: int = LIMIT_DEFAULT, most: int = LIMIT_MAX) -> Parameter:
    """Return the parameter that says how many rows are wanted."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter(name="limit", meaning="how many at most", schema=schema)


def moment(name: str, meaning: str) -> Parameter:
    """Return a parameter that is a moment."""
    return Parameter(
        name=name,
        meaning=f"{meaning}; RFC 3339, a day, milliseconds since 1970, now, or such as -24h",
        schema={"type": "string", "minLength": 1, "maxLength": MOMENT_CHARS_MAX},
    )


def filter_by(name: str, meaning: str) -> Parameter:
    """Return a parameter that is the text of one field."""
    return Parameter(name=name, meaning=meaning, schema=FILTER)


def choice(name: str, meaning: str, *known: str) -> Parameter:
    """Return a parameter that is one of some words."""
    return Parameter(name=name, meaning=meaning, schema={"type": "string", "enum": list(known)})


REGION = filter_by("region", "of this region")
CURSOR = Parameter(
    name="cursor",
    meaning="`next` of the page before",
    schema={"type": "string", "maxLength": CURSOR_CHARS_MAX},
)
