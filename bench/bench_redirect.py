"""What does a durable, sealed, logged redirect cost beside a bare one?

Four servers in turn, round by round, each loaded over 64 connections: a bare
302 (aiohttp's low-level server, uvloop, the same headers, no access log), an
edge that answers at once (`fast`), an edge that answers when the record is on
disk (`durable`), and one that does so with two workers (`workers`).  Compared
are requests per second of *server* CPU time, which the load generator's own cost
does not touch; medians over the rounds.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import cast

import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from regional_logger.front import REDIRECT_HEADERS
from tests.log.kit import World, free_port, read_log, world

CONNECTIONS = 64
HISTORY = Path(__file__).with_name("history.jsonl")
REQUEST = (
    b"GET /e/example.com/episode-%d.mp3?source=feed HTTP/1.1\r\nHost: click.example\r\n"
    b"User-Agent: AppleCoreMedia/1.0.0.20G75 (iPhone; U; CPU OS 16_6 like Mac OS X; en_us)\r\n"
    b"Accept: */*\r\nReferer: https://example.com/show\r\nAccept-Language: en-us\r\n\r\n"
)


class Visitor(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, number: int, ends: float) -> None:
        self.answers = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = REQUEST % number
        self._ends = ends
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count an answer (they are small: one read holds one) and ask again."""
        assert data.startswith(b"HTTP/1.1 302"), data[:40]
        assert self._transport
        self.answers += 1
        if time.monotonic() < self._ends:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self.over.done():
            self.over.set_result(None)


async def load(port: int, seconds: float) -> int:
    """Load *port* over all connections; return how many answers came."""
    loop = asyncio.get_running_loop()
    ends = time.monotonic() + seconds
    made = [
        await loop.create_connection(partial(Visitor, number, ends), "127.0.0.1", port)
        for number in range(CONNECTIONS)
    ]
    await asyncio.gather(*(visitor.over for _, visitor in made))
    return sum(visitor.answers for _, visitor in made)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that *pid* and its children have used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_seconds(int(child)) for child in children)


async def bare(port: int) -> None:
    """Serve nothing but the redirect."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        headers = {**REDIRECT_HEADERS, "Location": "https://example.com/episode.mp3"}
        return web.Response(status=302, headers=headers)

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def measure(port: int, pid: int, seconds: float) -> float:
    """Return answers per second of server CPU time."""
    before = cpu_seconds(pid)
    answers = uvloop.run(load(port, seconds))
    return answers / (cpu_seconds(pid) - before)


def record_bytes(running: World) -> float:
    """Return how many bytes a record takes in the streams' database files."""
    log = asyncio.run(read_log(running))
    size = sum(path.stat().st_size for path in running.log_dir.glob("*.db"))
    return size / len(log.records)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[tuple[dict[str, tuple[int, int]], World]]:
    """Run every server; lend port and process of each by name, and the durable edge."""
    port = free_port()
    with contextlib.ExitStack() as stack:
        plain = subprocess.Popen([sys.executable, __file__, "--serve-bare", str(port)])
        stack.callback(plain.kill)
        edges = {
            "fast": stack.enter_context(world(folder / "fast", ACCEPT="fast")),
            "durable": stack.enter_context(world(folder / "durable")),
            "workers": stack.enter_context(world(folder / "workers", WORKERS="2")),
        }
        where = {"bare": (port, plain.pid)}
        for name, running in edges.items():
            running.edge.start()
            running.edge.wait_live()
            assert running.edge.process
            where[name] = (running.public_port, running.edge.process.pid)
        yield where, edges["durable"]


def rounds(count: int, seconds: float) -> tuple[dict[str, list[float]], float]:
    """Measure each server *count* times, in turn."""
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as (where, durable):
        results: dict[str, list[float]] = {name: [] for name in where}
        for port, pid in where.values():
            measure(port, pid, 1.0)
        for _ in range(count):
            for name, (port, pid) in where.items():
                results[name].append(measure(port, pid, seconds))
        durable.edge.stop()
        return results, record_bytes(durable)


def main() -> None:
    """Measure, print, and append a line to the history if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4.0)
    options.add_argument("--keep", action="store_true", help="append to history.jsonl")
    options.add_argument("--serve-bare", type=int)
    asked = options.parse_args()
    if asked.serve_bare:
        uvloop.run(bare(asked.serve_bare))
    results, size = rounds(asked.rounds, asked.seconds)
    base = results["bare"]
    line: dict[str, object] = {
        "bench": "redirect",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "record_bytes": round(size, 1),
    }
    for name, values in results.items():
        ratio = median(value / plain for value, plain in zip(values, base, strict=True))
        line[name] = {
            "per_cpu_second": round(median(values)),
            "low": round(min(values)),
            "high": round(max(values)),
            "ratio_to_bare": round(ratio, 3),
        }
        print(f"{name:8} {median(values):9.0f} per CPU-second   {ratio:5.2f} of bare")
    print(f"record   {size:9.1f} bytes in the stream's database file")
    if asked.keep:
        with HISTORY.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
