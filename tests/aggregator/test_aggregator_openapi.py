"""The document that describes the aggregator, and whether the aggregator does what it says."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aggregator.api import API
from aggregator.hits.store import COLUMNS
from aggregator.rolling.fields import DERIVED
from milepost.clock import SystemClock
from milepost.openapi import PATH, document
from tests.aggregator.access_world import OPERATOR, Aggregator, Client, Connect, pull
from tests.aggregator.combined_world import World, a_record
from tests.documented import schemathesis


@contextlib.asynccontextmanager
async def running(world: World) -> AsyncIterator[str]:
    """Run an aggregator with something of everything to tell, and lend its address."""
    records = [a_record(1), a_record(2, visitor=None, asn=7, country="FR", opt_out=True)]
    puller = await pull(world, records)
    async with contextlib.AsyncExitStack() as stack:

        async def serve(app: web.Application) -> Client:
            server = TestServer(app)
            # A longer line than usual: the parser would refuse it before the aggregator says why.
            await server.start_server(max_line_size=1 << 16)
            return await stack.enter_async_context(TestClient(server))

        clock = SystemClock()
        served = await Aggregator.start(world, serve, clock=clock, pullers=[puller])
        await served.make({"name": "one", "scopes": ["hits:read"], "hosts": ["a.example"]})
        yield str(served.client.make_url("")).rstrip("/")


async def test_the_document_is_there_for_everybody(world: World, aiohttp_client: Connect) -> None:
    """It is what the table says; a program needs no token to learn how to call."""
    served = await Aggregator.start(world, aiohttp_client)

    status, told, _ = await served.call("GET", "/openapi.json", None)

    assert (status, told) == (200, document(API))


def test_a_hit_in_the_document_is_a_hit() -> None:
    """What a hit gains has to be described as well."""
    stored = {name for name in COLUMNS if name not in {"batch", "idx", "time_ms"}}

    assert set(API.schemas["Hit"]["properties"]) == {*stored, *DERIVED, "id", "time"}


@pytest.mark.parametrize("call", API.calls, ids=lambda call: call.name)
def test_every_call_is_described_whole(call: Any) -> None:
    """With a sentence, the names in its path, and what goes wrong."""
    told = document(API)["paths"][call.path][call.method.lower()]
    names = {each["name"] for each in told["parameters"] if each["in"] == PATH}

    assert told["summary"].endswith(".")
    assert call.path.count("{") == len(names)
    assert call.scope is None or {"401", "403", "429"} <= set(told["responses"])


def test_every_call_has_a_name_of_its_own() -> None:
    """Programs are made from the document, with a function for each."""
    names = [call.name for call in API.calls]

    assert sorted(set(names)) == sorted(names)


async def test_the_aggregator_does_what_its_document_says(world: World, tmp_path: Path) -> None:
    """No 5xx and no answer that is not described, for some calls of every kind."""
    async with running(world) as url:
        options = ("--phases", "fuzzing", "--max-examples", "2", "--no-shrink")
        status, told = await schemathesis(url, OPERATOR, tmp_path, *options)

    assert status == 0, told


@pytest.mark.slow
async def test_the_aggregator_does_all_that_its_document_says(world: World, tmp_path: Path) -> None:
    """The same for many calls, each limit by itself, and calls that follow from each other."""
    async with running(world) as url:
        status, told = await schemathesis(
            *(url, OPERATOR, tmp_path, "--phases", "examples,coverage,fuzzing,stateful"),
            *("--max-examples", "60", "--continue-on-failure", "--rate-limit", "180/s"),
        )

    assert status == 0, told
