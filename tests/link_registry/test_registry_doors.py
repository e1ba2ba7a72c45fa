"""Who gets through to which call: every call of the table, by every kind of token, and from a page.

The calls come from the table, the scopes from `milepost.tokens`: what is added to either is
tried here without a further word.  That the table has every route, another test says
(`test_the_document_names_every_route`).
"""

import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from link_registry.api import API
from milepost import tokens
from milepost.openapi import HEADER, Call
from milepost.tokens import Principal, TokenBook, token_hash
from milepost.vocabulary import Scope
from tests.link_registry.registry_world import Registry, bearer, running_registry

PAGE, OTHER_PAGE = "https://app.test", "https://other.test"
# Every scope there is, those of other services too.
SCOPES = sorted(
    {
        value
        for name, value in vars(tokens).items()
        if name.isupper() and isinstance(value, str) and value != tokens.BEARER
    }
)


def _entry(token: str, scopes: Iterable[str]) -> tuple[bytes, Principal]:
    name = token.replace(" ", "-")
    return token_hash(token), Principal(name, frozenset(map(Scope, scopes)))


# A token for each scope by itself, and one that has every other: neither may stand in for it.
BOOK = TokenBook(
    [
        _entry("none", ()),
        *(_entry(f"only {one}", {one}) for one in SCOPES),
        *(_entry(f"all but {one}", set(SCOPES) - {one}) for one in SCOPES),
    ]
)


@pytest_asyncio.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Registry]:
    """Run a registry that knows all these tokens, and one page."""
    async with running_registry(tmp_path, tokens=BOOK, origins=frozenset({PAGE})) as running:
        yield running


async def _answered(registry: Registry, call: Call, headers: dict[str, str]) -> tuple[int, Any]:
    """Make *call*, of something that is not there; return its status, and the problem if any."""
    path = call.path.replace("{id}", "x")
    async with registry.client.request(call.method, path, headers=headers) as answer:
        told = await answer.json() if answer.status >= 400 else None
        return answer.status, told


def test_the_scopes_are_those_that_there_are() -> None:
    """Names in capitals that are no scope would make a token of nonsense, and prove nothing."""
    assert {call.scope for call in API.calls} - {None} <= set(SCOPES)
    assert {"pull", "links:read", "grants:write", "addresses"} <= set(SCOPES)
    assert all(scope.replace(":", "").isalpha() for scope in SCOPES)


@pytest.mark.parametrize("method", sorted({call.method for call in API.calls}))
async def test_a_call_lets_in_its_own_scope_alone(doors: Registry, method: str) -> None:
    """Who lacks it is told its name with a 403, whatever else the token may do."""
    for call in (each for each in API.calls if each.method == method and each.scope):
        others = [f"only {one}" for one in SCOPES if one != call.scope]
        for token in ("none", *others, f"all but {call.scope}"):
            status, told = await _answered(doors, call, bearer(token))
            assert status == 403, (call.name, token, told)
            assert told["code"] == "forbidden"
            assert repr(call.scope) in told["detail"]
        status, told = await _answered(doors, call, bearer(f"only {call.scope}"))
        assert status not in {401, 403}, (call.name, told)


async def test_who_is_nobody_is_not_let_in(doors: Registry) -> None:
    """No token, an unknown one, and one that is not shown as it should be."""
    wrong = [{}, bearer(os.urandom(8).hex()), {"Authorization": "only links:read"}]
    for call in API.calls:
        statuses = {(await _answered(doors, call, headers))[0] for headers in wrong}
        assert statuses == {401} if call.scope else not statuses & {401, 403}, call.name


async def test_a_page_may_ask_for_every_call(doors: Registry) -> None:
    """With its method, and all headers that the call knows; a page that is not listed may not."""
    for call in API.calls:
        path = call.path.replace("{id}", "x")
        asks = {"Access-Control-Request-Method": call.method}
        listed = await doors.client.options(path, headers=asks | {"Origin": PAGE})
        other = await doors.client.options(path, headers=asks | {"Origin": OTHER_PAGE})
        headers = {each.name.lower() for each in call.parameters if each.where == HEADER}
        allowed = set(listed.headers["Access-Control-Allow-Headers"].lower().split(", "))

        assert (listed.status, other.status) == (204, 403), call.name
        assert listed.headers["Access-Control-Allow-Origin"] == PAGE
        assert call.method in listed.headers["Access-Control-Allow-Methods"].split(", ")
        assert headers | {"authorization", "content-type"} <= allowed, call.name
        assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_page_may_read_what_a_call_answers(doors: Registry) -> None:
    """Also a refusal; and every header that the table names."""
    for call in API.calls:
        path = call.path.replace("{id}", "x")
        refused = await doors.client.request(call.method, path, headers={"Origin": PAGE})
        headers = bearer(f"only {call.scope}") | {"Origin": PAGE}
        async with doors.client.request(call.method, path, headers=headers) as answer:
            shown = answer.headers["Access-Control-Expose-Headers"].split(", ")

        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert refused.headers["Access-Control-Allow-Origin"] == PAGE
        assert {*call.answer.headers, "ETag", "Retry-After"} <= set(shown), call.name
