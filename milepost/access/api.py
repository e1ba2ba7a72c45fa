"""The calls for tokens that a service keeps, for its table of all calls.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from collections.abc import Sequence

from milepost.access import rules
from milepost.links import EXPIRES_MS_MAX, HOST_CHARS_MAX
from milepost.openapi import PATH, Answer, Call, Parameter, Schema, object_of, or_null, ref, text_of
from milepost.tags import TAG_CHARS_MAX, TAG_PATTERN
from milepost.tokens import TOKENS_READ, TOKENS_WRITE
from milepost.vocabulary import Scope

CREATED, NO_CONTENT, CONFLICT = 201, 204, 409
TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
MILLIS: Schema = {"type": "integer", "minimum": 0, "description": "milliseconds since 1970, UTC"}
NAME = text_of(rules.NAME_PATTERN, rules.NAME_CHARS_MAX)
RATE: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": rules.RATE_MAX,
    "description": "calls a minute",
}
TOKEN = object_of(
    {
        "name": NAME,
        "state": {"type": "string", "enum": ["active", "expired", "revoked"]},
        "scopes": TEXTS,
        "hosts": TEXTS,
        "tags": TEXTS,
        "rate": RATE,
        "created_ms": MILLIS,
        "created_by": {**TEXT, "description": "name of the token that it was made with"},
        "expires_ms": or_null(MILLIS),
        "revoked_ms": or_null(MILLIS),
        "last_used": or_null({"type": "string", "format": "date"}),
    }
)


def token_schemas(scopes: Sequence[Scope]) -> dict[str, Schema]:
    """Return the shared schemas of a service that asks for *scopes*."""
    wish = object_of(
        {
            "name": NAME,
            "scopes": {
                "type": "array",
                "items": {"type": "string", "enum": list(scopes)},
                "minItems": 1,
                "uniqueItems": True,
            },
            "hosts": {
                "type": "array",
                "items": text_of(rules.HOST_PATTERN, HOST_CHARS_MAX),
                "maxItems": rules.HOSTS_MAX,
                "description": "nothing of other hosts is seen or changed; none: every host",
            },
            "tags": {
                "type": "array",
                "items": text_of(TAG_PATTERN, TAG_CHARS_MAX),
                "maxItems": rules.TAGS_MAX,
                "description": "nothing of links without one of these; none: every link",
            },
            "expires_ms": or_null({**MILLIS, "minimum": 1, "maximum": EXPIRES_MS_MAX}),
            "rate": or_null({**RATE, "default": rules.RATE_DEFAULT}),
        },
        required=("name", "scopes"),
    )
    return {"Token": TOKEN, "NewToken": wish}


TOKEN_CALLS = (
    Call(
        name="create_token",
        method="POST",
        path="/v1/tokens",
        meaning="Make a token that may do no more than the one it is made with; it is shown once.",
        scope=TOKENS_WRITE,
        narrows=True,
        body=ref("NewToken"),
        answer=Answer(
            status=CREATED,
            meaning="what it is, and the token itself",
            schema=object_of({"token": ref("Token"), "secret": TEXT}),
        ),
        problems=(CONFLICT,),
    ),
    Call(
        name="list_tokens",
        method="GET",
        path="/v1/tokens",
        meaning="List the tokens that are kept here and that the caller could have made.",
        scope=TOKENS_READ,
        narrows=True,
        answer=Answer(
            meaning="all of them, by name, also those that have ended",
            schema=object_of({"tokens": {"type": "array", "items": ref("Token")}}),
        ),
    ),
    Call(
        name="revoke_token",
        method="DELETE",
        path="/v1/tokens/{name}",
        meaning="End a token from the next call on.",
        scope=TOKENS_WRITE,
        narrows=True,
        parameters=(
            Parameter(
                name="name",
                meaning="the token's name",
                where=PATH,
                schema={"type": "string", "minLength": 1},
            ),
        ),
        answer=Answer(status=NO_CONTENT, meaning="it is revoked"),
    ),
)
