"""How soon after its answer can a click be queried?

Real edges of three regions, a key server and an aggregator on this machine, and
clicks at a gentle pace; watched is the first page of `GET /v1/hits`, every 20 ms.
Once with nothing else to do, and once while the backlog of a past life drains.
"""

import argparse
import asyncio
import contextlib
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bench_ingest import HISTORY, now_ms, sample, show
from tests.log.backlog import write_backlog
from tests.log.combined import aggregator
from tests.log.fresh import Freshness, freshness, in_region
from tests.log.kit import Service, World, world

REGIONS = ("cdg", "nrt")  # beside the first, dfw
SETTLE_SECONDS = 3.0


@contextlib.contextmanager
def platform_of_three(
    folder: Path, records: int, streams: int
) -> Iterator[tuple[list[World], Service]]:
    """Run three edges, of which the first has a backlog, and an aggregator."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(world(folder))
        edges = [first, *(in_region(first, region) for region in REGIONS)]
        if records:
            write_backlog(
                first,
                now_ms(),
                records=records,
                streams=streams,
                told=lambda done: show(f"writing a backlog: {done:,} of {records:,} records"),
            )
        service = aggregator(first, [each.edge for each in edges])
        for each in (*(one.edge for one in edges), service):
            stack.callback(each.kill)
            each.start()
            each.wait_live()
        yield edges, service


def measure(asked: argparse.Namespace, records: int) -> tuple[Freshness, int]:
    """Return how fresh clicks were, and how many hits were applied meanwhile, per second."""
    with (
        tempfile.TemporaryDirectory() as folder,
        platform_of_three(Path(folder), records, asked.streams) as (edges, service),
    ):
        time.sleep(SETTLE_SECONDS if not records else 0)
        before = sample(service)
        found = asyncio.run(
            freshness(edges, service, clicks=asked.clicks, pause_seconds=asked.pause, name="x")
        )
        after = sample(service)
    return found, round((after.hits - before.hits) / (after.moment - before.moment))


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--clicks", type=int, default=500)
    options.add_argument("--pause", type=float, default=0.03, help="seconds between clicks")
    options.add_argument("--records", type=int, default=1_000_000, help="in the backlog")
    options.add_argument("--streams", type=int, default=20, help="of the backlog")
    options.add_argument("--quick", action="store_true", help="one small round")
    options.add_argument("--keep", action="store_true", help="append to history.jsonl")
    asked = options.parse_args()
    if asked.quick:
        asked.rounds, asked.clicks, asked.records = 1, 100, 100_000
    line: dict[str, object] = {
        "bench": "fresh",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
    }
    for name, records in (("idle", 0), ("backlog", asked.records)):
        found = [measure(asked, records) for _ in range(asked.rounds)]
        line[name] = {
            "p50": round(median(each.percentile(0.5) for each, _ in found), 3),
            "p99": round(median(each.percentile(0.99) for each, _ in found), 3),
            "max": round(max(each.percentile(1.0) for each, _ in found), 3),
            "missing": sum(each.missing for each, _ in found),
            "hits_per_second": round(median(rate for _, rate in found)),
        }
        show(f"{name:8} {line[name]}", last=True)
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
