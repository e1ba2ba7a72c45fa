"""A real aggregator beside the edges, and what it says."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from milepost.client import Client
from milepost.config import Secret
from milepost.errors import ServiceError
from milepost.tokens import HITS_READ, HITS_WRITE, tokens_document
from tests.log.kit import READER_TOKEN, Service, World, free_port

QUERY_TOKEN = "milepost_" + "c" * 64
ENOUGH_SECONDS = 30.0
PAGE = 10_000


def aggregator(running: World, edges: Iterable[Service], *sources: str) -> Service:
    """Return an aggregator that pulls *edges*, and *sources* by address; not started yet."""
    tokens = running.folder / "query_tokens.json"
    tokens.write_bytes(tokens_document([("query", [HITS_READ, HITS_WRITE], QUERY_TOKEN)]))
    port = free_port()
    urls = [f"http://127.0.0.1:{edge.private_port}" for edge in edges]
    env = {
        "DATA": str(running.folder / "combined"),
        "PRIVATE_LISTEN": f"127.0.0.1:{port}",
        "TOKENS_FILE": str(tokens),
        "TOKEN": READER_TOKEN,
        "KEYS_URL": running.edge.env["MILEPOST_KEYS_URL"],
        "KEYS_IDENTITY": running.edge.env["MILEPOST_KEYS_IDENTITY"],
        "SOURCES": ",".join([*urls, *sources]),
    }
    settings = {f"MILEPOST_{name}": value for name, value in env.items()}
    return Service("aggregator", settings, running.folder / "aggregator.log", port)


def second_edge(running: World, machine: str) -> World:
    """Return another machine of the same region, not started yet."""
    private, public = free_port(), free_port()
    env = running.edge.env | {
        "MILEPOST_DATA": str(running.folder / machine),
        "MILEPOST_MACHINE": machine,
        "MILEPOST_LISTEN": f"127.0.0.1:{public}",
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{private}",
    }
    edge = replace(
        running.edge,
        env=env,
        log=running.folder / f"{machine}.log",
        private_port=private,
        public_port=public,
        process=None,
    )
    return World(running.folder, edge, running.keys, public)


def log_dir(running: World) -> Path:
    """Return the log's folder, whether or not its edge runs."""
    return Path(running.edge.env["MILEPOST_DATA"]) / "log"


async def ask(service: Service, path: str) -> Any:
    """GET *path* of *service*, which may be about to start."""
    url = f"http://127.0.0.1:{service.private_port}"
    async with Client.connect(url, Secret(QUERY_TOKEN)) as client:
        return await client.get(path)


async def hits(service: Service) -> Counter[str]:
    """Count every hit by its path."""
    found: Counter[str] = Counter()
    query = f"/v1/hits?order=arrival&limit={PAGE}"
    cursor = ""
    while True:
        page = await ask(service, query + cursor)
        found.update(hit["path"] for hit in page["hits"])
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


async def counted(service: Service, wanted: Iterable[str]) -> Counter[str]:
    """Return the hits as soon as all of *wanted* are among them, or time is over."""
    wanted = set(wanted)
    ends = time.monotonic() + ENOUGH_SECONDS
    found: Counter[str] = Counter()
    while time.monotonic() < ends:
        try:
            found = await hits(service)
        except ServiceError:  # it is starting
            found = Counter()
        if wanted <= found.keys():
            break
        await asyncio.sleep(0.2)
    return found


async def streams(service: Service) -> dict[str, dict[str, Any]]:
    """Return what is told of every stream, by its id."""
    told = await ask(service, "/v1/sources")
    return {each["stream"]: each for source in told["sources"] for each in source["streams"]}


async def told(
    service: Service,
    enough: Callable[[dict[str, Any]], bool],
    *,
    seconds: float = ENOUGH_SECONDS,
) -> dict[str, Any]:
    """Return the answer about sources as soon as it is *enough*, or what it was in the end."""
    ends = time.monotonic() + seconds
    while True:
        answer: dict[str, Any] = await ask(service, "/v1/sources")
        if enough(answer) or time.monotonic() > ends:
            return answer
        await asyncio.sleep(0.1)
