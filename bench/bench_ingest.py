"""How fast does a backlog of sealed batches become hits, on one core?

A real edge with streams of a past life on its disk, a real key server, and a
real aggregator pinned to one core that pulls, opens, inserts and indexes: round
by round into an empty database and into one of `--rows` hits.  Counted from the
first transaction that is seen to the last, per second and per second of the
aggregator's CPU time; the others run on the other cores.  The database with many
rows is made once, kept in `--cache`, and grows a little with each round.
"""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aggregator.describing.store import Described
from aggregator.hits.interning import TextCache
from aggregator.hits.store import HitWriter
from bench.bench_redirect import cpu_seconds
from milepost.database import open_database
from milepost.record import Body
from milepost.vocabulary import Epoch, Millis
from tests.log.backlog import BATCH_RECORDS, Crowd, write_backlog
from tests.log.combined import aggregator
from tests.log.kit import Service, World, world

HISTORY = Path(__file__).with_name("history.jsonl")
SAMPLE_SECONDS = 0.05
ROUND_SECONDS_MAX = 600.0
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HITS_METRIC = "milepost_hits_applied_total "
PUT_APPLIED = """
    INSERT INTO applied (batch, stream, seq, epoch, key, count, first_ms, last_ms, tally)
    VALUES (?, zeroblob(16), ?, 1, zeroblob(8), ?, ?, ?, '[]')
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a running aggregator has done up to a moment."""

    moment: float
    cpu: float
    hits: int


def now_ms() -> Millis:
    """Return the time."""
    return Millis(time.time_ns() // 1_000_000)


def show(text: str, *, last: bool = False) -> None:
    """Keep whoever waits informed, on one line."""
    if last or sys.stderr.isatty():
        print(f"\r{text:78}", end="\n" if last else "", file=sys.stderr, flush=True)


@contextlib.contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Keep what is started meanwhile on *cores*."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def sample(service: Service) -> Sample:
    """Ask an aggregator how many hits it has applied."""
    assert service.process
    url = f"http://127.0.0.1:{service.private_port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as response:
        text = response.read().decode()
    hits = next(line for line in text.splitlines() if line.startswith(HITS_METRIC))
    return Sample(time.monotonic(), cpu_seconds(service.process.pid), round(float(hits.split()[1])))


def drained(service: Service, records: int) -> tuple[Sample, Sample]:
    """Wait until all *records* are hits; return the first sample with some and that with all."""
    first: Sample | None = None
    ends = time.monotonic() + ROUND_SECONDS_MAX
    while time.monotonic() < ends:
        found = sample(service)
        first = first or (found if found.hits else None)
        if first and found.hits >= records:
            return first, found
        show(f"{found.hits:,} of {records:,} hits")
        time.sleep(SAMPLE_SECONDS)
    msg = f"not drained in {ROUND_SECONDS_MAX} seconds"
    raise TimeoutError(msg)


def measure(folder: Path, asked: argparse.Namespace, database: Path | None, seed: int) -> Sample:
    """Ingest a backlog once; return wall seconds, CPU seconds and hits of the measured part."""
    cores = sorted(os.sched_getaffinity(0))
    mine, others = {cores[-1]}, set(cores[:-1]) or set(cores)
    with on_cores(others), world(folder) as running:
        write_backlog(running, now_ms(), records=asked.records, streams=asked.streams, seed=seed)
        running.edge.start()
        running.edge.wait_live()
        with on_cores(mine):
            service = start_aggregator(running, database)
        try:
            first, last = drained(service, asked.records)
        finally:
            service.stop()
            if database:
                move(folder / "combined", database)
    return Sample(last.moment - first.moment, last.cpu - first.cpu, last.hits - first.hits)


def start_aggregator(running: World, database: Path | None) -> Service:
    """Start an aggregator on an empty database, or on *database*."""
    service = aggregator(running, [running.edge])
    if database:
        (running.folder / "combined").mkdir()
        move(database, running.folder / "combined")
    service.start()
    service.wait_live()
    return service


def move(folder: Path, to: Path) -> None:
    """Move the combined database and what is beside it from *folder* to another."""
    for path in folder.glob("combined.db*"):
        path.rename(to / path.name)


def database_of(folder: Path, rows: int) -> Path:
    """Return the folder of a database of *rows* hits, made now if it is not there."""
    kept = folder / f"rows-{rows}"
    if not kept.exists():
        making = folder / f"making-{rows}"
        making.mkdir(parents=True)
        fill(making / "combined.db", rows)
        making.rename(kept)
    return kept


def fill(path: Path, rows: int) -> None:
    """Make a database of *rows* hits, as if they had been pulled over thirty days."""
    connection = open_database(path, "combined")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA wal_autocheckpoint=20000")
    connection.execute("PRAGMA cache_size=-1000000")
    chance = Random(0)
    crowd, texts, described = Crowd(chance), TextCache(50_000), Described(20_000)
    start, done, batch = now_ms() - 30 * DAY_MS, 0, 0
    while done < rows:
        connection.execute("BEGIN")
        writer = HitWriter(connection, texts, described)
        while writer.written < min(20_000, rows - done):
            batch += 1
            moment = Millis(start + 29 * DAY_MS * (done + writer.written) // rows)
            found = Body(tuple(crowd.record(moment) for _ in range(chance.randint(*BATCH_RECORDS))))
            row = (chance.randbytes(16), batch, len(found.records), moment, moment)
            number = connection.execute(PUT_APPLIED, row).lastrowid or 0
            writer.write(number, Epoch(1), found)
        connection.execute("COMMIT")
        writer.keep()
        done += writer.written
        show(f"making a database: {done:,} of {rows:,} hits")
    connection.close()
    show(f"made a database of {done:,} hits", last=True)


def rounds(asked: argparse.Namespace) -> dict[str, list[Sample]]:
    """Measure each kind of database in turn."""
    results: dict[str, list[Sample]] = {"empty": []}
    with contextlib.ExitStack() as stack:
        cache = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        full = database_of(cache, asked.rows) if asked.rows else None
        for number in range(asked.rounds):
            for name, database in (("empty", None), ("full", full)):
                if name == "full" and database is None:
                    continue
                # Beside the cache, so that a large database moves by its name alone.
                with tempfile.TemporaryDirectory(dir=cache) as folder:
                    found = measure(Path(folder), asked, database, time.time_ns() + number)
                results.setdefault(name, []).append(found)
                show(
                    f"{name}: {found.hits / found.moment:,.0f} a second, "
                    f"{found.hits / found.cpu:,.0f} per CPU-second",
                    last=True,
                )
    return results


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--records", type=int, default=200_000, help="in the backlog")
    options.add_argument("--streams", type=int, default=4)
    options.add_argument("--rows", type=int, default=10_000_000, help="in the full database")
    options.add_argument("--cache", type=Path, help="where to keep the full database")
    options.add_argument("--quick", action="store_true", help="one small round")
    options.add_argument("--keep", action="store_true", help="append to history.jsonl")
    asked = options.parse_args()
    if asked.quick:
        asked.rounds, asked.records, asked.rows = 1, 50_000, min(asked.rows, 100_000)
    line: dict[str, object] = {
        "bench": "ingest",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "rows": asked.rows,
    }
    for name, found in rounds(asked).items():
        per_cpu = [each.hits / each.cpu for each in found]
        per_second = [each.hits / each.moment for each in found]
        line[name] = {
            "per_cpu_second": round(median(per_cpu)),
            "low": round(min(per_cpu)),
            "high": round(max(per_cpu)),
            "per_second": round(median(per_second)),
        }
        print(
            f"{name:6} {median(per_cpu):9,.0f} hits per CPU-second   "
            f"{median(per_second):9,.0f} a second on one core"
        )
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
