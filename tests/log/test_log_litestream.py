"""litestream beside an edge: killed, stopped, without its store; no visitor and no record minds."""

import asyncio
import contextlib
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from milepost.litestream import Litestream, configuration
from tests.log.kit import (
    Answers,
    Service,
    World,
    clean_env,
    read_log,
    stream_batches,
    visit_many,
    world,
)

pytestmark = pytest.mark.slow

STORE_GONE_SECONDS = 120
BINARY = Path(sys.executable).parent / "litestream"


@dataclass(slots=True)
class Beside:
    """A litestream that is started again whenever it ends."""

    control: Path
    replicas: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        """Start it with no database at all."""
        self.control.unlink(missing_ok=True)
        config = self.control.with_suffix(".yml")
        config.write_text(configuration(self.control))
        env = {name: value for name, value in clean_env().items() if name != "AWS_CA_BUNDLE"}
        self.process = subprocess.Popen(
            [str(BINARY), "replicate", "-config", str(config)],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.starts += 1

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process
        os.kill(self.process.pid, number)

    async def keep(self) -> None:
        """Start it again whenever it has ended."""
        while True:
            if self.process is None or self.process.poll() is not None:
                self.start()
            await asyncio.sleep(0.1)

    def end(self) -> None:
        """End it for good."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.asynccontextmanager
async def replicated(running: World) -> AsyncIterator[Beside]:
    """Run a litestream that *running*'s edge is told of."""
    async with beside(running.edge, running.folder / "replicas") as found:
        yield found


@contextlib.asynccontextmanager
async def beside(service: Service, replicas: Path) -> AsyncIterator[Beside]:
    """Run a litestream of its own for *service*, which has yet to be started."""
    folder = Path(tempfile.mkdtemp(prefix="mp-"))  # sockets need short paths
    found = Beside(folder / "ls.sock", replicas)
    service.env["MILEPOST_LITESTREAM_SOCKET"] = str(found.control)
    service.env["MILEPOST_REPLICA_URL"] = f"file://{replicas}"
    keeping = asyncio.create_task(found.keep())
    try:
        yield found
    finally:
        keeping.cancel()
        found.end()
        shutil.rmtree(folder, ignore_errors=True)


async def started(running: World) -> None:
    """Start the edge."""
    running.edge.start()
    await asyncio.to_thread(running.edge.wait_live)


async def held(beside: Beside, count: int) -> None:
    """Wait until litestream holds so many databases."""
    client = Litestream(beside.control, "file:///nowhere")
    for _ in range(100):
        with contextlib.suppress(Exception):
            told = await client._call("GET", "/list")
            if len(told["databases"]) == count:
                return
        await asyncio.sleep(0.1)
    msg = f"litestream never held {count}"
    raise AssertionError(msg)


def digests(folder: Path) -> dict[str, str]:
    """Return what each stream's files hold."""
    paths = [path for path in folder.iterdir() if path.name.endswith((".db", ".db-wal"))]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def restored(beside: Beside, running: World, out: Path) -> Iterator[tuple[str, int]]:
    """Restore every replica; yield (stream, batches)."""
    for place in sorted((beside.replicas / "dfw" / "local").iterdir()):
        target = out / f"{place.name}.db"
        subprocess.run(
            [str(BINARY), "restore", "-o", str(target), f"file://{place}"],
            check=True,
            capture_output=True,
        )
        yield place.name, len(stream_batches(target))


async def test_whatever_happens_to_litestream_nothing_happens_to_records(tmp_path: Path) -> None:
    """Killed, killed again, and no old stream is touched, byte for byte."""
    answers = Answers()
    with world(tmp_path, ACCEPT_BUDGET_MS="60000") as running:
        async with replicated(running) as beside:
            await started(running)
            await visit_many(running, [f"old/{number}" for number in range(50)], answers)
            running.edge.kill()
            old = digests(running.log_dir)
            await started(running)
            for part in range(4):
                await held(beside, 1)
                await visit_many(running, [f"{part}/{each}" for each in range(100)], answers)
                beside.signal(signal.SIGKILL)
                await visit_many(running, [f"{part}+/{each}" for each in range(100)], answers)
            await held(beside, 1)
            assert running.edge.stop() == 0
            now = digests(running.log_dir)
            log = await read_log(running)
            (tmp_path / "restored").mkdir()
            replicas = dict(restored(beside, running, tmp_path / "restored"))

    assert answers.unanswered == 0
    assert {path: log.paths[path] for path in answers.redirected} == dict.fromkeys(
        answers.redirected, 1
    )
    assert {name: now[name] for name in old} == old, "an old stream was written to"
    assert max(replicas.values()) > 0


async def test_a_litestream_that_hangs_holds_up_neither_visitors_nor_a_restart(
    tmp_path: Path,
) -> None:
    """The end of an edge waits for it but shortly."""
    answers = Answers()
    with world(tmp_path) as running:
        async with replicated(running) as beside:
            await started(running)
            await held(beside, 1)
            beside.signal(signal.SIGSTOP)
            await visit_many(running, [f"hung/{number}" for number in range(200)], answers)
            begun = time.monotonic()
            assert running.edge.stop() == 0
            took = time.monotonic() - begun
            log = await read_log(running)
            beside.signal(signal.SIGCONT)

    assert answers.unanswered == 0
    assert len(log.records) == 200
    assert took < 8


@pytest.mark.timeout(STORE_GONE_SECONDS + 120)
async def test_without_its_store_the_log_goes_on(tmp_path: Path) -> None:
    """For two minutes under load: streams turn over, and no file outgrows its limit.

    litestream is ended rather than left with a stream that is closed, and no
    stream of an earlier life is touched.
    """
    answers, sizes = Answers(), [0]
    with world(tmp_path, STREAM_MB="1", ACCEPT_BUDGET_MS="60000") as running:
        async with replicated(running) as beside:
            await started(running)
            await visit_many(running, ["before"], answers)
            running.edge.kill()
            old = digests(running.log_dir)
            await started(running)
            await held(beside, 1)
            shutil.rmtree(beside.replicas, ignore_errors=True)
            beside.replicas.write_text("no folder can be made here any more")
            ends = time.monotonic() + STORE_GONE_SECONDS
            for part in itertools.count():
                names = [f"{part}/{each}/{os.urandom(700).hex()}" for each in range(50)]
                await visit_many(running, names, answers)
                sizes.append(max(sizes_of(running.log_dir)))
                if time.monotonic() > ends:
                    break
                await asyncio.sleep(0.5)
            beside.replicas.unlink()
            await held(beside, 1)
            running.edge.stop()
            now = digests(running.log_dir)
            log = await read_log(running)

    assert answers.unanswered == 0
    assert log.streams > 5
    assert len(log.records) == len(answers.redirected) > STORE_GONE_SECONDS * 50
    assert max(log.paths.values()) == 1
    assert max(sizes) < 2 << 20
    assert {name: now[name] for name in old} == old, "an old stream was written to"


def sizes_of(folder: Path) -> Iterator[int]:
    """Return the sizes of all files that the log is made of."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.name.endswith((".db", ".db-wal")):
                yield path.stat().st_size
