"""How long does it take to load 100,000 links, and how soon is a change redirecting everywhere?

A registry and edges of three regions on this machine.  Links are loaded in calls of
10,000; then links are changed one after another, and in each region a visitor
clicks on the changed link until it leads to the new destination.  This is done once
more while somebody loads further links in bulk, as far as it goes, and again while
somebody does so in calls that happen whole or not at all.
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
CHANGES_MAX = 100_000  # in one part of a round
ATOMIC, BEST_EFFORT = "atomic", "best-effort"
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


def bodies(name: str, count: int, mode: str) -> list[bytes]:
    """Return calls that make *count* links whose paths begin with *name*."""
    calls = []
    for start in range(0, count, ITEMS_A_CALL):
        items = [
            {
                "action": "create",
                "link": {
                    "path": f"/{name}-{n}",
                    "destination": f"https://shop.example/landing/{n}?from=a",
                },
            }
            for n in range(start, min(start + ITEMS_A_CALL, count))
        ]
        calls.append(orjson.dumps({"items": items, "mode": mode}))
    return calls


async def load(session: aiohttp.ClientSession, url: str, name: str, calls: list[bytes]) -> float:
    """Make *calls*, one after another; return how many seconds they took."""
    begun = time.monotonic()
    for number, body in enumerate(calls):
        headers = AUTHORIZATION | {"Idempotency-Key": f"{name}-{number}"}
        async with session.post(
            f"{url}/v1/links/bulk", data=io.BytesIO(body), headers=headers
        ) as answer:
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


async def changed(
    session: aiohttp.ClientSession, url: str, edges: list[World], asked: argparse.Namespace
) -> list[float]:
    """Change links one by one; return how long each took to be redirecting everywhere."""
    took = []
    for number in range(asked.changes):
        took.append(await change(session, url, edges, number=number, of=asked.links))
        show(f"changed {number + 1} of {asked.changes} links")
        await asyncio.sleep(asked.pause)
    return took


async def changed_beside(
    session: aiohttp.ClientSession,
    url: str,
    edges: list[World],
    asked: argparse.Namespace,
    *,
    mode: str,
    first: int,
) -> tuple[list[float], float]:
    """Change links while *asked.beside* others are loaded; return how long each took, and all."""
    calls = bodies(mode, asked.beside, mode)  # before, as that takes its time
    loading = asyncio.create_task(load(session, url, mode, calls))
    took: list[float] = []
    while not loading.done():
        took.append(await change(session, url, edges, number=first + len(took), of=asked.links))
        show(f"changed {len(took)} links beside a load, {mode}")
        await asyncio.sleep(asked.pause)
    return took, await loading


def figures(took: list[float], name: str = "") -> dict[str, float]:
    """Return what is kept of the times in *took*."""
    took = sorted(took)
    return {
        f"{name}p50_ms": round(took[len(took) // 2] * 1_000, 1),
        f"{name}p99_ms": round(took[min(len(took) - 1, int(len(took) * 0.99))] * 1_000, 1),
        f"{name}max_ms": round(took[-1] * 1_000, 1),
    }


async def measure(asked: argparse.Namespace) -> dict[str, float]:
    """Load, wait until it has arrived everywhere, and change links one by one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        platform_of_three(Path(folder)) as (url, edges),
    ):
        async with visitors() as session:
            calls = bodies("promo", asked.links, ATOMIC)
            begun = time.monotonic()
            loaded = await load(session, url, "promo", calls)
            last = f"https://shop.example/landing/{asked.links - 1}?from=a"
            there = [
                await arrived(session, each.url, f"/promo-{asked.links - 1}", last)
                for each in edges
            ]
            found = {
                "load_seconds": round(loaded, 2),
                "arrived_seconds": round(max(there) - begun, 2),
            }
            found |= figures(await changed(session, url, edges, asked))
            for mode, name in ((BEST_EFFORT, "beside"), (ATOMIC, "beside_atomic")):
                first = CHANGES_MAX * len(name)
                took, seconds = await changed_beside(
                    session, url, edges, asked, mode=mode, first=first
                )
                found |= figures(took, f"{name}_")
                found |= {f"{name}_changes": len(took), f"{name}_seconds": round(seconds, 2)}
    return found


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--changes", type=int, default=300, help="links changed one by one")
    options.add_argument("--beside", type=int, default=100_000, help="loaded beside changes")
    options.add_argument("--pause", type=float, default=0.05, help="seconds between changes")
    options.add_argument("--quick", action="store_true", help="one small round")
    options.add_argument("--keep", action="store_true", help="append to history.jsonl")
    asked = options.parse_args()
    if asked.quick:
        asked.rounds, asked.links, asked.changes, asked.beside = 1, 20_000, 50, 20_000
    found = [asyncio.run(measure(asked)) for _ in range(asked.rounds)]
    line: dict[str, object] = {
        "bench": "links",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "links": asked.links,
    }
    line |= {name: median(each[name] for each in found) for name in found[0]}
    for name in ("max_ms", "beside_max_ms", "beside_atomic_max_ms"):
        line[name] = max(each[name] for each in found)
    show(str(line), last=True)
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
