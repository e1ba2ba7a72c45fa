"""How long does it take to load 100,000 links, and how soon is a change redirecting everywhere?

A registry and edges of three regions on this machine.  Links are loaded in calls of
10,000; then links are changed one after another, and in each region a visitor
clicks on the changed link until it leads to the new destination.
"""

import argparse
import asyncio
import contextlib
import io
import json
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import aiohttp
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bench_ingest import HISTORY, show
from milepost.tokens import AGGREGATOR_SCOPES, EDGE_SCOPES, OPERATOR_SCOPES, tokens_document
from tests.edge.links_fleet import registry_of
from tests.log.fresh import in_region
from tests.log.kit import EDGE_TOKEN, READER_TOKEN, World, free_port, world

REGIONS = ("cdg", "nrt")  # beside the first, dfw
OPERATOR_TOKEN = "milepost_" + "b" * 64
AUTHORIZATION = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
ITEMS_A_CALL = 10_000
LOOK_SECONDS, GIVE_UP_SECONDS = 0.005, 60.0


@contextlib.contextmanager
def platform_of_three(folder: Path) -> Iterator[tuple[str, list[World]]]:
    """Run a registry and three edges; lend its address and them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(world(folder, LINKS_URL=url))
        (folder / "tokens.json").write_bytes(
            tokens_document(
                [
                    ("edge", EDGE_SCOPES, EDGE_TOKEN),
                    ("reader", AGGREGATOR_SCOPES, READER_TOKEN),
                    ("operator", OPERATOR_SCOPES, OPERATOR_TOKEN),
                ]
            )
        )
        stack.enter_context(registry_of(folder, port))
        edges = [first, *(in_region(first, region) for region in REGIONS)]
        for each in edges:
            stack.callback(each.edge.kill)
            each.edge.start()
            each.edge.wait_live()
        yield url, edges


async def load(session: aiohttp.ClientSession, url: str, count: int) -> float:
    """Make *count* links; return how many seconds the calls took."""
    begun = time.monotonic()
    for start in range(0, count, ITEMS_A_CALL):
        items = [
            {
                "action": "create",
                "link": {
                    "path": f"/promo-{n}",
                    "destination": f"https://shop.example/landing/{n}?from=a",
                },
            }
            for n in range(start, min(start + ITEMS_A_CALL, count))
        ]
        body = io.BytesIO(orjson.dumps({"items": items, "mode": "atomic"}))
        headers = AUTHORIZATION | {"Idempotency-Key": f"load-{start}"}
        async with session.post(f"{url}/v1/links/bulk", data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()
    return time.monotonic() - begun


async def arrived(session: aiohttp.ClientSession, url: str, path: str, destination: str) -> float:
    """Click until *path* leads to *destination*; return when it did."""
    ends = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < ends:
        async with session.get(url + path, allow_redirects=False) as answer:
            if answer.headers.get("Location") == destination:
                return time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
    return float("inf")


async def change(
    session: aiohttp.ClientSession, url: str, edges: list[World], *, number: int, of: int
) -> float:
    """Change one link; return how long it took until the last region redirects to the new place."""
    path = f"/promo-{number * 7919 % of}"
    destination = f"https://new.example/{number}"
    body = orjson.dumps(
        {"items": [{"action": "update", "link": {"path": path, "destination": destination}}]}
    )
    begun = time.monotonic()
    looking = [asyncio.create_task(arrived(session, each.url, path, destination)) for each in edges]
    async with session.post(f"{url}/v1/links/bulk", data=body, headers=AUTHORIZATION) as answer:
        assert answer.status == 200, await answer.text()
    return max(await asyncio.gather(*looking)) - begun


@contextlib.asynccontextmanager
async def visitors() -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a session for everything."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        yield session


async def measure(asked: argparse.Namespace) -> dict[str, float]:
    """Load, wait until it has arrived everywhere, and change links one by one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        platform_of_three(Path(folder)) as (url, edges),
    ):
        async with visitors() as session:
            begun = time.monotonic()
            loaded = await load(session, url, asked.links)
            last = f"https://shop.example/landing/{asked.links - 1}?from=a"
            there = [
                await arrived(session, each.url, f"/promo-{asked.links - 1}", last)
                for each in edges
            ]
            took = []
            for number in range(asked.changes):
                took.append(await change(session, url, edges, number=number, of=asked.links))
                show(f"changed {number + 1} of {asked.changes} links")
                await asyncio.sleep(asked.pause)
    took.sort()
    return {
        "load_seconds": round(loaded, 2),
        "arrived_seconds": round(max(there) - begun, 2),
        "p50_ms": round(took[len(took) // 2] * 1_000, 1),
        "p99_ms": round(took[min(len(took) - 1, int(len(took) * 0.99))] * 1_000, 1),
        "max_ms": round(took[-1] * 1_000, 1),
    }


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--changes", type=int, default=300, help="links changed one by one")
    options.add_argument("--pause", type=float, default=0.05, help="seconds between changes")
    options.add_argument("--quick", action="store_true", help="one small round")
    options.add_argument("--keep", action="store_true", help="append to history.jsonl")
    asked = options.parse_args()
    if asked.quick:
        asked.rounds, asked.links, asked.changes = 1, 20_000, 50
    found = [asyncio.run(measure(asked)) for _ in range(asked.rounds)]
    line: dict[str, object] = {
        "bench": "links",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "links": asked.links,
    }
    line |= {name: median(each[name] for each in found) for name in found[0]}
    line["max_ms"] = max(each["max_ms"] for each in found)
    show(str(line), last=True)
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
