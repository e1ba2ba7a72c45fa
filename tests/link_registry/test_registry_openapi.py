"""The document that describes the registry, and whether the registry does what it says."""

from pathlib import Path
from typing import Any

import pytest

from link_registry.api import API
from milepost.clock import SystemClock
from milepost.links import FIELDS
from milepost.openapi import PATH, document
from tests.documented import schemathesis
from tests.link_registry.registry_world import OPERATOR, READER, Registry, running_registry


async def test_the_document_is_there_for_everybody(registry: Registry) -> None:
    """It is what the table says; a program needs no token to learn how to call."""
    answer = await registry.client.get("/openapi.json")

    assert answer.status == 200
    assert await answer.json() == document(API)


def test_a_link_in_the_document_is_a_link() -> None:
    """What a link gains has to be described as well."""
    told = set(API.schemas["Link"]["properties"])

    assert set(FIELDS) <= told
    assert told - set(API.schemas["NewLink"]["properties"]) == {
        *("id", "clicks", "version", "created_ms", "updated_ms")
    }


@pytest.mark.parametrize("call", API.calls, ids=lambda call: call.name)
def test_every_call_is_described_whole(call: Any) -> None:
    """With a sentence, the names in its path, and what goes wrong."""
    told = document(API)["paths"][call.path][call.method.lower()]
    names = {each["name"] for each in told["parameters"] if each["in"] == PATH}

    assert told["summary"].endswith(".")
    assert all(f"{{{name}}}" in call.path for name in names)
    assert call.path.count("{") == len(names)
    assert call.scope is None or {"401", "403", "429"} <= set(told["responses"])


async def test_the_document_names_every_route(registry: Registry) -> None:
    """And no other: what is served and what is described are one table."""
    app = registry.server.app
    served = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    described = {(call.method, call.path) for call in API.calls}

    assert served == described | {("GET", "/openapi.json")}


async def test_one_token_cannot_call_without_end(registry: Registry) -> None:
    """Who asks too often is told when to ask again; others are not held up by it."""
    answers = [await registry.call("GET", "/v1/hosts", token=READER) for _ in range(2_001)]

    assert answers[1_999].status == 200
    assert answers[2_000].status == 429
    assert int(answers[2_000].headers["Retry-After"]) >= 1
    assert (await registry.call("GET", "/v1/hosts")).status == 200


async def test_the_registry_does_what_its_document_says(tmp_path: Path) -> None:
    """No 5xx and no answer that is not described, for some calls of every kind."""
    async with running_registry(tmp_path, clock=SystemClock(), cleans=False) as registry:
        await registry.create("/docs/*", host="go.test", tags=["a"], note="b")
        options = ("--phases", "fuzzing", "--max-examples", "4", "--no-shrink")
        status, told = await schemathesis(registry.url, OPERATOR, tmp_path, *options)

    assert status == 0, told


@pytest.mark.slow
async def test_the_registry_does_all_that_its_document_says(tmp_path: Path) -> None:
    """The same for many calls, each limit by itself, and calls that follow from each other."""
    async with running_registry(tmp_path, clock=SystemClock(), cleans=False) as registry:
        await registry.create("/docs/*", host="go.test", tags=["a"], note="b")
        status, told = await schemathesis(
            *(registry.url, OPERATOR, tmp_path, "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "60", "--continue-on-failure", "--rate-limit", "180/s"),
        )

    assert status == 0, told
