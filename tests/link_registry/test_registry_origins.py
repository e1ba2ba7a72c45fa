"""Every call of the registry from a page in a browser.

The calls come from the table: what is added to it is tried here without a further word.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from link_registry.api import API
from milepost.openapi import HEADER, RATE_HEADERS, Call
from tests.link_registry.registry_world import OPERATOR, Registry, bearer, running_registry

PAGE, OTHER_PAGE = "https://app.test", "https://other.test"


@pytest_asyncio.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Registry]:
    """Run a registry that knows one page."""
    async with running_registry(tmp_path, origins=frozenset({PAGE})) as running:
        yield running


def _path(call: Call) -> str:
    """Return the path of *call*, of something that is not there."""
    return re.sub(r"\{[^}]+\}", "x", call.path)


async def test_a_page_may_ask_for_every_call(doors: Registry) -> None:
    """With its method, and all headers that the call knows; a page that is not listed may not."""
    for call in API.calls:
        asks = {"Access-Control-Request-Method": call.method}
        listed = await doors.client.options(_path(call), headers=asks | {"Origin": PAGE})
        other = await doors.client.options(_path(call), headers=asks | {"Origin": OTHER_PAGE})
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
        path = _path(call)
        refused = await doors.client.request(call.method, path, headers={"Origin": PAGE})
        headers = bearer(OPERATOR) | {"Origin": PAGE}
        async with doors.client.request(call.method, path, headers=headers) as answer:
            shown = answer.headers["Access-Control-Expose-Headers"].split(", ")

        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert refused.headers["Access-Control-Allow-Origin"] == PAGE
        wanted = {*call.answer.headers, *RATE_HEADERS, "ETag", "Retry-After"}
        assert wanted <= set(shown), call.name
