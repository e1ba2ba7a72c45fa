"""What the tables of calls have in common: how texts, pages and a link's rules are described.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from link_registry.paging import CURSOR_CHARS_MAX, CURSOR_PATTERN, LIMIT_DEFAULT, LIMIT_MAX
from milepost import links
from milepost.openapi import PATH, Parameter, Schema, object_of, or_null, ref, text_of, whole
from milepost.targeting import rules

TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
MILLIS: Schema = {"type": "integer", "minimum": 0, "description": "milliseconds since 1970, UTC"}


def page_of(name: str, item: str) -> Schema:
    """Return the schema of a page of *item*, which is a shared schema, under *name*."""
    items = {"type": "array", "items": ref(item)}
    return object_of({name: items, "next": or_null(TEXT)})


LIMIT = Parameter(
    name="limit",
    meaning="how many at most",
    schema={"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
)
CURSOR = Parameter(
    name="cursor",
    meaning="`next` of the page before",
    schema=text_of(CURSOR_PATTERN, CURSOR_CHARS_MAX),
)
ID = Parameter(
    name="id", meaning="the link's id", where=PATH, schema={"type": "string", "minLength": 1}
)

HOST: Schema = {
    **text_of(links.HOST_PATTERN, links.HOST_CHARS_MAX),
    "description": "a host name, with a port or without; * is every host",
}
DESTINATION: Schema = {
    **text_of(links.VISIBLE_PATTERN, links.DESTINATION_CHARS_MAX),
    "description": "where it leads: http, https, or a scheme that is allowed",
}


def _values(name: str) -> Schema:
    return {
        "type": "array",
        "items": {"type": "string", "pattern": whole(rules.pattern_of(name))},
        "minItems": 1,
        "maxItems": rules.VALUES_MAX,
    }


_MOMENT: Schema = {**MILLIS, "minimum": 1, "maximum": rules.MOMENT_MS_MAX}
_WHEN: Schema = {
    **object_of(
        {name: _values(name) for name in rules.LISTS} | {"start_ms": _MOMENT, "end_ms": _MOMENT},
        required=(),
    ),
    "minProperties": 1,
}
_VARIANT = object_of(
    {
        "name": {"type": "string", "pattern": whole(rules.NAME_PATTERN)},
        "weight": {"type": "integer", "minimum": 0, "maximum": rules.WEIGHT_MAX},
        "destination": DESTINATION,
    }
)
_VARIANTS: Schema = {
    "type": "array",
    "items": _VARIANT,
    "minItems": 1,
    "maxItems": rules.VARIANTS_MAX,
}
RULE: Schema = {
    "oneOf": [
        object_of({"when": _WHEN, "destination": DESTINATION}, required=("destination",)),
        object_of({"when": _WHEN, "variants": _VARIANTS}, required=("variants",)),
    ],
    "description": "the first rule of which every condition holds decides",
}
RULES: Schema = {"type": "array", "items": ref("Rule"), "maxItems": rules.RULES_MAX}
SHARE = object_of({"name": TEXT, "share": {"type": "number"}, "destination": TEXT})
EXPLANATION = object_of(
    {
        "link": TEXT,
        "status": INTEGER,
        "why": TEXT,
        "rule": or_null({**INTEGER, "description": "the one that decides, from 0"}),
        "variant": or_null(TEXT),
        "variants": {"type": "array", "items": SHARE},
        "destination": or_null(TEXT),
        "device": or_null(TEXT),
        "language": or_null(TEXT),
        "rules": {
            "type": "array",
            "items": object_of({"rule": INTEGER, "matched": {"type": "boolean"}, "why": TEXT}),
        },
    },
    required=("link", "status", "why", "rule", "variant", "destination", "rules"),
)
