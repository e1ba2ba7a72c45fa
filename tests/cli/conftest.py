"""What the tests of the command share: services that answer, and a fleet file that names them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from pytest_aiohttp.plugin import AiohttpServer

from milepost.cli import cli
from milepost.fleet import Fleet, RegionEntry, Service, write_fleet

LINK = {
    "id": "01jd",
    "host": "*",
    "path": "/sale",
    "destination": "https://example.com/spring",
    "status": 302,
    "enabled": True,
    "pass_query": False,
    "expires_ms": None,
    "version": 1,
}
HIT = {
    "id": "ab:0",
    "time": "2026-01-31T12:00:00.000Z",
    "region": "dfw",
    "kind": "link",
    "host": "go.example",
    "path": "/sale?x=1",
    "status": 302,
    "target": "https://example.com/spring",
    "visitor": "0123456789abcdef0123456789abcdef",
    "link": "01jd",
}

Run = Callable[..., Awaitable[Result]]


class Answers:
    """One server in the place of all: it answers what it was given and remembers the questions."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {}
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.if_match: list[str] = []
        self.keys: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer like the service would."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((request.method, request.path_qs, token, await request.read()))
        self.if_match += request.headers.getall("If-Match", [])
        self.keys += request.headers.getall("Idempotency-Key", [])
        answer = self.told.get(f"{request.method} {request.path}")
        if answer is None:
            problem = {"detail": f"nothing at {request.path}", "code": "not_found"}
            return web.json_response(problem, status=404)
        if isinstance(answer, int):
            return web.json_response({"detail": "said so"}, status=answer)
        if isinstance(answer, list):  # one page after another
            return web.json_response(answer.pop(0))
        return web.json_response(answer) if answer else web.Response(status=204)


@pytest.fixture
def answers() -> Answers:
    """What the services answer."""
    return Answers()


@pytest.fixture
async def url(answers: Answers, aiohttp_server: AiohttpServer) -> str:
    """Where they answer."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers.handle)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


@pytest.fixture
def fleet_file(tmp_path: Path, url: str) -> Path:
    """The file of a platform whose services all answer at one address."""
    path = tmp_path / "fleet.json"
    service = Service(url=url, pid=1, database="")
    edge = RegionEntry(
        region="dfw", url="http://127.0.0.1:8080", private_url=url, pid=1, log_dir=""
    )
    fleet = Fleet(
        ready=True,
        pid=1,
        tokens={"operator": "operator-token", "read": "read-token"},
        key_server=service,
        link_registry=service,
        aggregator=service,
        regions=(edge,),
    )
    write_fleet(path, fleet)
    return path


@pytest.fixture
def run(fleet_file: Path) -> Run:
    """Return a runner of commands beside that platform."""

    async def invoke(*words: str, **env: str) -> Result:
        # A thread of its own: the command has its own loop, and the server goes on in this one.
        return await asyncio.to_thread(
            CliRunner().invoke, cli, ["--fleet", str(fleet_file), *words], env=env
        )

    return invoke
