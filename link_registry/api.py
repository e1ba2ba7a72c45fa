"""Every call of the registry, in one table: what it takes, and what it answers.

The router is built from it, and so is `/openapi.json` (milepost.openapi).

Rules of this file:
- Pure, and nothing but data.  The limits in the schemas are those that are enforced.
"""

from link_registry import annotations as notes
from link_registry import explaining as visit
from link_registry.bulk.api import BULK_CALL, BULK_SCHEMAS
from link_registry.counting.api import COUNT_CALLS, COUNT_SCHEMAS
from link_registry.grants.api import GRANT_CALLS, GRANT_SCHEMAS
from link_registry.listing import question as ask
from link_registry.positions.api import LIST_POSITIONS, POSITION_SCHEMAS, REPORT_POSITION
from link_registry.schemas import (
    CURSOR,
    DESTINATION,
    EXPLANATION,
    HOST,
    ID,
    INTEGER,
    LIMIT,
    MILLIS,
    RULE,
    RULES,
    TEXT,
    page_of,
)
from milepost import __version__, links
from milepost.access.api import TOKEN_CALLS, token_schemas
from milepost.etags import IF_MATCH_PATTERN
from milepost.health import HEALTH_CALLS
from milepost.openapi import (
    HEADER,
    Answer,
    Api,
    Call,
    Parameter,
    Schema,
    object_of,
    or_null,
    ref,
    text_of,
    whole,
)
from milepost.tags import TAG_CHARS_MAX, TAG_PATTERN
from milepost.tokens import (
    FEED,
    GRANTS_READ,
    GRANTS_WRITE,
    LINKS_READ,
    LINKS_WRITE,
    TOKENS_READ,
    TOKENS_WRITE,
)

# What a token may be for that is kept here.
SCOPES = (LINKS_READ, LINKS_WRITE, GRANTS_READ, GRANTS_WRITE, TOKENS_READ, TOKENS_WRITE)
NOT_FOUND, CONFLICT, STALE, CREATED, NO_CONTENT = 404, 409, 412, 201, 204
HEADER_TEXT: Schema = {"type": "string", "maxLength": visit.HEADER_CHARS_MAX}
SETTABLE: dict[str, Schema] = {
    "host": HOST,
    "path": {
        **text_of(links.PATH_PATTERN, links.PATH_CHARS_MAX),
        "description": "where it is; with /* at the end it stands for all that begins so",
    },
    "destination": DESTINATION,
    "status": {"type": "integer", "enum": list(links.STATUSES)},
    "enabled": {"type": "boolean"},
    "pass_query": {"type": "boolean", "description": "whether a visit's query goes on"},
    "expires_ms": or_null({**MILLIS, "minimum": 1, "maximum": links.EXPIRES_MS_MAX}),
    "rules": RULES,
    "tags": {
        "type": "array",
        "items": text_of(TAG_PATTERN, TAG_CHARS_MAX),
        "maxItems": notes.TAGS_MAX,
    },
    "note": or_null(text_of(notes.NOTE_PATTERN, notes.NOTE_CHARS_MAX)),
    "click_limit": or_null({"type": "integer", "minimum": 1, "maximum": notes.CLICK_LIMIT_MAX}),
}
LINK = object_of(
    {
        "id": TEXT,
        **SETTABLE,
        "clicks": {
            "type": "integer",
            "minimum": 0,
            "description": "counted of a link with a limit",
        },
        "version": {"type": "integer", "minimum": 1},
        "created_ms": MILLIS,
        "updated_ms": MILLIS,
    }
)
CHANGE = object_of(
    {
        "version": {"type": "integer", "minimum": 1},
        "action": {"type": "string", "enum": list(links.ACTIONS)},
        "at_ms": MILLIS,
        "who": {"type": "string", "description": "name of the token"},
        "fields": {
            "type": "array",
            "items": object_of({"field": TEXT, "before": {}, "after": {}}),
        },
    }
)
HOST_COUNT = object_of({"host": TEXT, "links": INTEGER})


def _choice(name: str, meaning: str, known: tuple[str, ...]) -> Parameter:
    return Parameter(name=name, meaning=meaning, schema={"type": "string", "enum": list(known)})


def _filter(name: str, meaning: str, pattern: str, chars_max: int) -> Parameter:
    return Parameter(name=name, meaning=meaning, schema=text_of(pattern, chars_max))


def _yes_or_no(name: str, meaning: str) -> Parameter:
    return Parameter(name=name, meaning=meaning, schema={"type": "boolean"})


IF_MATCH = Parameter(
    name="If-Match",
    meaning="the version that is to be changed, as ETag named it; without it, whichever is there",
    where=HEADER,
    schema={"type": "string", "pattern": whole(IF_MATCH_PATTERN)},
)
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    meaning="the id of the last event that was applied; without it, a snapshot comes first",
    where=HEADER,
    schema=TEXT,
)
FILTERS = (
    _filter("host", "of this host; * for those of every host", links.HOST_PATTERN, 260),
    _filter("path_prefix", "whose path begins so", ask.PREFIX_PATTERN, links.PATH_CHARS_MAX),
    Parameter(
        name="tag",
        meaning="with this tag; given several times, with all of them",
        schema=text_of(TAG_PATTERN, TAG_CHARS_MAX),
        times_max=notes.TAGS_MAX,
    ),
    _yes_or_no("enabled", "that redirect, or do not"),
    _filter(
        *("destination_host", "that lead to this host; without a port, on whatever port"),
        *(ask.DESTINATION_HOST_PATTERN, ask.HOST_CHARS_MAX),
    ),
    _yes_or_no("expired", "that have ended, or have not"),
    _choice("kind", "with a literal path, or with a pattern", ask.KINDS),
    _filter(
        *("q", "with this in path, destination, note or a tag, small and capital letters alike"),
        *(ask.SEARCH_PATTERN, ask.SEARCH_CHARS_MAX),
    ),
    _choice("sort", "by what; links that are alike by id", tuple(ask.SORTS)),
    _choice("direction", "upwards, unless asked otherwise", ask.DIRECTIONS),
)
VISIT = (
    _filter(
        "path",
        "its path; that of the link without its *",
        visit.PATH_PATTERN,
        visit.TARGET_CHARS_MAX,
    ),
    _filter("query", "what stands behind the ?", visit.QUERY_PATTERN, visit.TARGET_CHARS_MAX),
    _filter("country", "of the visitor; two letters", visit.COUNTRY_PATTERN, 2),
    _filter("region", "of the edge", visit.REGION_PATTERN, visit.TARGET_CHARS_MAX),
    Parameter(name="language", meaning="the header Accept-Language", schema=HEADER_TEXT),
    Parameter(name="user_agent", meaning="the header User-Agent", schema=HEADER_TEXT),
    Parameter(name="time", meaning="RFC 3339, or milliseconds since 1970; now", schema=TEXT),
    _filter("visitor", "a visitor hash, which draws the variant", visit.VISITOR_PATTERN, 32),
)
ADDRESS = (
    _filter("host", "as the header Host says it", visit.HOST_PATTERN, visit.TARGET_CHARS_MAX),
    _filter("path", "without the query", visit.PATH_PATTERN, visit.TARGET_CHARS_MAX),
)
ONE_LINK = object_of({"link": ref("Link")})

LINK_CALLS = (
    Call(
        name="create_link",
        method="POST",
        path="/v1/links",
        meaning="Make a link; without a path, one that is short and free is drawn.",
        scope=LINKS_WRITE,
        narrows=True,
        body=ref("NewLink"),
        answer=Answer(status=CREATED, meaning="it", schema=ONE_LINK, headers=("ETag", "Location")),
        problems=(CONFLICT,),
    ),
    Call(
        name="list_links",
        method="GET",
        path="/v1/links",
        meaning="List links.",
        scope=LINKS_READ,
        narrows=True,
        parameters=(*FILTERS, LIMIT, CURSOR),
        answer=Answer(meaning="a page of links", schema=page_of("links", "Link")),
    ),
    Call(
        name="find_link",
        method="GET",
        path="/v1/links/at",
        meaning="Find the link that answers a visit to a host and path, as the edges do.",
        scope=LINKS_READ,
        narrows=True,
        parameters=ADDRESS,
        answer=Answer(meaning="the link", schema=ONE_LINK, headers=("ETag",)),
        problems=(NOT_FOUND,),
    ),
    Call(
        name="read_link",
        method="GET",
        path="/v1/links/{id}",
        meaning="Read one link.",
        scope=LINKS_READ,
        narrows=True,
        parameters=(ID,),
        answer=Answer(meaning="the link", schema=ONE_LINK, headers=("ETag",)),
    ),
    Call(
        name="explain_link",
        method="GET",
        path="/v1/links/{id}/explain",
        meaning="Tell which rule of a link a visit would hit, and why.",
        scope=LINKS_READ,
        narrows=True,
        parameters=(ID, *VISIT),
        answer=Answer(meaning="why", schema=object_of({"explanation": ref("Explanation")})),
    ),
    Call(
        name="change_link",
        method="PATCH",
        path="/v1/links/{id}",
        meaning="Change some fields of a link; the others stay.",
        scope=LINKS_WRITE,
        narrows=True,
        parameters=(ID, IF_MATCH),
        body=ref("ChangedLink"),
        answer=Answer(meaning="the link as it is now", schema=ONE_LINK, headers=("ETag",)),
        problems=(CONFLICT, STALE),
    ),
    Call(
        name="delete_link",
        method="DELETE",
        path="/v1/links/{id}",
        meaning="Take a link away.",
        scope=LINKS_WRITE,
        narrows=True,
        parameters=(ID, IF_MATCH),
        answer=Answer(status=NO_CONTENT, meaning="it is gone"),
        problems=(STALE,),
    ),
    Call(
        name="list_changes",
        method="GET",
        path="/v1/links/{id}/changes",
        meaning="List what was done to a link, also to one that is deleted.",
        scope=LINKS_READ,
        narrows=True,
        parameters=(ID, LIMIT, CURSOR),
        answer=Answer(meaning="a page, the oldest first", schema=page_of("changes", "Change")),
    ),
    Call(
        name="list_hosts",
        method="GET",
        path="/v1/hosts",
        meaning="List the hosts of links, and how many links each has.",
        scope=LINKS_READ,
        narrows=True,
        parameters=(LIMIT, CURSOR),
        answer=Answer(meaning="a page, by name", schema=page_of("hosts", "Host")),
    ),
)

# What has its route elsewhere.
OTHER_CALLS = (
    Call(
        name="follow_feed",
        method="GET",
        path="/sync/stream",
        meaning="Follow every change of a link, for as long as one listens.",
        scope=FEED,
        parameters=(LAST_EVENT_ID,),
        answer=Answer(meaning="server-sent events", media="text/event-stream", schema=TEXT),
        told_only=True,
    ),
    REPORT_POSITION,
    *HEALTH_CALLS,
)

API = Api(
    title="Milepost link registry",
    version=__version__,
    calls=(
        *(*LINK_CALLS, BULK_CALL, *COUNT_CALLS, *GRANT_CALLS, LIST_POSITIONS),
        *(*TOKEN_CALLS, *OTHER_CALLS),
    ),
    schemas={
        "Link": LINK,
        "NewLink": object_of(SETTABLE, required=("destination",)),
        "ChangedLink": object_of(SETTABLE, required=()),
        "Rule": RULE,
        "Explanation": EXPLANATION,
        "Change": CHANGE,
        "Host": HOST_COUNT,
        **BULK_SCHEMAS,
        **COUNT_SCHEMAS,
        **GRANT_SCHEMAS,
        **POSITION_SCHEMAS,
        **token_schemas(SCOPES),
    },
)
