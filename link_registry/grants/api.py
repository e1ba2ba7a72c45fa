"""The calls of grants, for the table of all calls: what they take, and what they answer.

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from link_registry.grants import rules
from link_registry.once.keys import KEY
from link_registry.schemas import (
    CURSOR,
    DESTINATION,
    HOST,
    INTEGER,
    LIMIT,
    MILLIS,
    TEXT,
    page_of,
)
from milepost.links import PATH_CHARS_MAX
from milepost.openapi import PATH, Answer, Call, Parameter, Schema, object_of, or_null, ref
from milepost.tokens import GRANTS_READ, GRANTS_WRITE

NOT_FOUND, CONFLICT, CREATED = 404, 409, 201
OWNER: Schema = {"type": "string", "minLength": 1, "maxLength": rules.OWNER_CHARS_MAX}
MINUTES: Schema = {
    "type": "integer",
    "minimum": rules.MINUTES_MIN,
    "maximum": rules.MINUTES_MAX,
}
METADATA: Schema = {"type": "object"}
CLEANUP_IDS: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": rules.CLEANUP_CHARS_MAX},
    "maxItems": rules.CLEANUPS_MAX,
}
TEXTS: Schema = {"type": "array", "items": TEXT}
FAILED = object_of({"id": TEXT, "failures": INTEGER, "reason": TEXT})
GRANT = object_of(
    {
        "id": TEXT,
        "owner": TEXT,
        "state": {"type": "string", "enum": list(rules.STATES)},
        "exclusive": {"type": "boolean"},
        "link": TEXT,
        "host": or_null(TEXT),
        "path": or_null(TEXT),
        "destination": or_null(TEXT),
        "metadata": METADATA,
        "cleanup_ids": TEXTS,
        "cleaned": TEXTS,
        "failed": {"type": "array", "items": FAILED},
        "created_ms": MILLIS,
        "ends_ms": MILLIS,
        "ended_ms": or_null(MILLIS),
        "abandoned_ms": or_null(MILLIS),
        "abandoned_by": or_null({**TEXT, "description": "name of the token"}),
    }
)
NEW_GRANT = object_of(
    {
        "owner": OWNER,
        "duration_minutes": MINUTES,
        "destination": or_null(DESTINATION),
        "slug": or_null({"type": "string", "minLength": 1, "maxLength": PATH_CHARS_MAX}),
        "link": or_null({"type": "string", "minLength": 1}),
        "host": HOST,
        "metadata": METADATA,
        "cleanup_ids": CLEANUP_IDS,
        "exclusive": {"type": "boolean"},
    },
    required=("owner", "duration_minutes"),
)
ID = Parameter(
    name="id", meaning="the grant's id", where=PATH, schema={"type": "string", "minLength": 1}
)
FILTERS = (
    Parameter(name="owner", meaning="of this owner", schema=OWNER),
    Parameter(
        name="state",
        meaning="in this state; without it, those that are not abandoned",
        schema={"type": "string", "enum": list(rules.STATES)},
    ),
)
ONE_GRANT = object_of({"grant": ref("Grant")})
GRANT_SCHEMAS = {"Grant": GRANT, "NewGrant": NEW_GRANT}

GRANT_CALLS = (
    Call(
        name="create_grant",
        method="POST",
        path="/v1/grants",
        meaning="Give an owner a link for some minutes.",
        scope=GRANTS_WRITE,
        parameters=(KEY,),
        body=ref("NewGrant"),
        answer=Answer(status=CREATED, meaning="the grant", schema=ONE_GRANT),
        problems=(NOT_FOUND, CONFLICT),
    ),
    Call(
        name="list_grants",
        method="GET",
        path="/v1/grants",
        meaning="List grants, at most 200 a page.",
        scope=GRANTS_READ,
        parameters=(*FILTERS, LIMIT, CURSOR),
        answer=Answer(meaning="a page of grants", schema=page_of("grants", "Grant")),
    ),
    Call(
        name="read_grant",
        method="GET",
        path="/v1/grants/{id}",
        meaning="Read one grant.",
        scope=GRANTS_READ,
        parameters=(ID,),
        answer=Answer(meaning="the grant", schema=ONE_GRANT),
    ),
    Call(
        name="extend_grant",
        method="POST",
        path="/v1/grants/{id}/extend",
        meaning="Put the end of a grant off.",
        scope=GRANTS_WRITE,
        parameters=(ID,),
        body=object_of({"minutes": MINUTES}),
        answer=Answer(meaning="the grant as it is now", schema=ONE_GRANT),
        problems=(CONFLICT,),
    ),
    Call(
        name="end_grant",
        method="POST",
        path="/v1/grants/{id}/end",
        meaning="End a grant now.",
        scope=GRANTS_WRITE,
        parameters=(ID,),
        answer=Answer(meaning="the grant as it is once ended", schema=ONE_GRANT),
    ),
    Call(
        name="delete_grant",
        method="DELETE",
        path="/v1/grants/{id}",
        meaning="End a grant now, like the call before.",
        scope=GRANTS_WRITE,
        parameters=(ID,),
        answer=Answer(meaning="the grant as it is once ended", schema=ONE_GRANT),
    ),
    Call(
        name="abandon_grant",
        method="POST",
        path="/v1/grants/{id}/abandon",
        meaning="Try no more to clean up after a grant that has ended.",
        scope=GRANTS_WRITE,
        parameters=(ID,),
        answer=Answer(meaning="the grant, with what was not cleaned up", schema=ONE_GRANT),
        problems=(CONFLICT,),
    ),
)
