"""One table of calls: the router is built from it, and so is the OpenAPI 3.1 document.

A service declares its calls once, with their parameters, bodies and answers.
`add_calls` makes the routes: a scope is asked for, a parameter that the table does
not name is refused, and so is one that comes twice.  A token that is restricted to hosts
or tags reaches only the calls that say they narrow.  `document` describes the same.
What a field may hold is checked by the service itself; the schemas tell of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from milepost.errors import FieldError
from milepost.http import Handler, guarded, json_response
from milepost.vocabulary import Scope

Schema = dict[str, Any]

JSON, PROBLEM = "application/json", "application/problem+json"
QUERY, PATH, HEADER = "query", "path", "header"
NAME_CHARS_SHOWN = 40
RATE_HEADERS = ("RateLimit", "RateLimit-Policy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What may stand in the query, the path or a header of a call."""

    name: str
    meaning: str
    schema: Schema
    where: str = QUERY
    times_max: int = 1  # how often it may come


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call answers when it went well."""

    meaning: str
    status: int = 200
    schema: Schema | None = None
    media: str = JSON
    others: Mapping[str, Schema] = field(default_factory=dict)  # by media type, where one can ask
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a service."""

    name: str
    method: str
    path: str
    meaning: str
    answer: Answer
    scope: Scope | None = None  # None: anybody may
    or_scope: Scope | None = None  # another one that lets through as well
    narrows: bool = False  # shows and changes only what the caller's token is restricted to
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    problems: tuple[int, ...] = ()  # besides those that follow from the rest
    told_only: bool = False  # the route is made elsewhere, and this describes it

    def query_names(self) -> tuple[str, ...]:
        """Return the names that may stand in the query."""
        return tuple(each.name for each in self.parameters if each.where == QUERY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """All calls of a service, and the schemas they share."""

    title: str
    version: str
    calls: Sequence[Call]
    schemas: Mapping[str, Schema] = field(default_factory=dict)


def ref(name: str) -> Schema:
    """Return a reference to a shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def whole(pattern: str) -> str:
    """Return *pattern* so that it holds for a whole text, as a schema wants it."""
    return f"^(?:{pattern})$"


def text_of(pattern: str, chars_max: int) -> Schema:
    """Return the schema of a text that is *pattern* as a whole."""
    return {"type": "string", "pattern": whole(pattern), "maxLength": chars_max}


def or_null(schema: Schema) -> Schema:
    """Return the schema of what *schema* says, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def refuse_parameters(query: MultiMapping[str], call: Call) -> None:
    """Refuse a parameter that *call* does not have: ignoring it would answer another question."""
    known = call.query_names()
    times_max = {each.name: each.times_max for each in call.parameters}
    for name in query:
        if name not in known:
            accepted = f"one of {', '.join(known)}" if known else "no parameter"
            raise FieldError(
                field=name[:NAME_CHARS_SHOWN], accepted=accepted, got="no such parameter"
            )
        times = len(query.getall(name))
        if times > times_max[name]:
            raise FieldError(field=name, accepted=f"at most {times_max[name]}", got=f"{times}")


def add_calls(
    app: web.Application,
    api: Api,
    handlers: Mapping[str, Handler],
) -> None:
    """Add a route for each call of *api* that has one here, and one for the document itself."""
    for call in api.calls:
        if call.told_only:
            continue
        handler = _checked(call, handlers[call.name])
        if call.scope is not None:
            handler = guarded(call.scope, handler, or_scope=call.or_scope, narrows=call.narrows)
        app.router.add_route(call.method, routed(call.path, api.calls), handler)
    told = document(api)

    async def tell(_request: web.Request) -> web.Response:
        return json_response(told)

    app.router.add_get("/openapi.json", tell)


def routed(path: str, calls: Iterable[Call]) -> str:
    """Return *path* for the router: its last parameter is no name that has a path of its own.

    Otherwise `/links/bulk` would be the link with the id bulk as well, by other methods.
    """
    before, _, last = path.rpartition("/")
    if not last.startswith("{"):
        return path
    ends = {call.path.removeprefix(f"{before}/") for call in calls}
    names = sorted(re.escape(end) for end in ends if not set("/{").intersection(end))
    return f"{before}/{{{last[1:-1]}:(?!(?:{'|'.join(names)})$)[^{{}}/]+}}" if names else path


def _checked(call: Call, handler: Handler) -> Handler:
    async def checked(request: web.Request) -> web.StreamResponse:
        refuse_parameters(request.query, call)
        return await handler(request)

    return checked


def document(api: Api) -> dict[str, Any]:
    """Return the OpenAPI document of *api*."""
    paths: dict[str, dict[str, Any]] = {}
    for call in api.calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": api.title, "version": api.version},
        "paths": paths,
        "components": {
            "schemas": {**api.schemas, "Problem": PROBLEM_SCHEMA},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    good = call.answer
    answers: dict[str, Any] = {str(good.status): _answer(good, rated=call.scope is not None)}
    for status in _problem_statuses(call):
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": ref("Problem")}},
        }
    if "400" in answers:  # a request that cannot be read at all reaches no call
        answers["400"]["content"]["text/plain"] = {"schema": {"type": "string"}}
    told: dict[str, Any] = {
        "operationId": call.name,
        "summary": call.meaning,
        "parameters": [_parameter(each) for each in call.parameters],
        "responses": answers,
    }
    if call.scope is not None:
        told["security"] = [{"bearer": []}]
        wanted = f"`{call.scope}`" + (f" or `{call.or_scope}`" if call.or_scope else "")
        restricted = "" if call.narrows else ", and without a restriction to hosts or tags"
        told["description"] = f"Needs a token with the scope {wanted}{restricted}."
    if call.body is not None:
        told["requestBody"] = {"required": True, "content": {JSON: {"schema": call.body}}}
    return told


def _problem_statuses(call: Call) -> list[int]:
    """Return the statuses of the problems that *call* may answer with."""
    found = {*call.problems, 500, 503}
    if not call.told_only or call.scope is not None:
        found.add(400)
    if call.scope is not None:
        found |= {401, 403, 429}
    if call.body is not None:
        found.add(413)
    if any(each.where == PATH for each in call.parameters):
        found.add(404)
    return sorted(found - {call.answer.status})


def _answer(answer: Answer, *, rated: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.meaning}
    if answer.schema is not None:
        shapes = {answer.media: answer.schema, **answer.others}
        told["content"] = {media: {"schema": schema} for media, schema in shapes.items()}
    headers = {name: {"schema": {"type": "string"}, "required": True} for name in answer.headers}
    if rated:  # the services' own tokens have no rate
        headers |= {name: {"schema": {"type": "string"}} for name in RATE_HEADERS}
    if headers:
        told["headers"] = headers
    return told


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.schema
    if parameter.times_max > 1:
        schema = {"type": "array", "items": schema, "maxItems": parameter.times_max}
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == PATH,
        "description": parameter.meaning,
        "schema": schema,
    }


def object_of(
    properties: Mapping[str, Schema], *, required: Iterable[str] | None = None, closed: bool = True
) -> Schema:
    """Return the schema of an object; all its *properties* are there unless *required* says."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
        "additionalProperties": not closed,
    }


PROBLEM_SCHEMA = object_of(
    {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "field": {"type": "string", "description": "what is wrong"},
        "accepted": {"type": "string", "description": "what it may hold"},
        "got": {"type": "string", "description": "the shape of what came"},
        "version": {"type": "integer", "description": "the version that is there (412)"},
    },
    required=("type", "title", "status", "detail", "code"),
    closed=False,
)
