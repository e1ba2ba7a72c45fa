"""One edge as a process of its own, beside a real key server; and what its log says afterwards."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from milepost.batch import Batch, TallyRow, add_tallies, first_chain, parse_tally
from milepost.client import Client
from milepost.config import Secret
from milepost.record import Record
from milepost.seal import open_body
from milepost.sqlite import connect_read_only
from milepost.stream import store
from milepost.stream.meter import read_meter
from milepost.tokens import AGGREGATOR_SCOPES, EDGE_SCOPES, OPERATOR_SCOPES, tokens_document
from milepost.vocabulary import BatchId, Epoch, StreamId
from milepost.wire import Life, MeterRow

READY_SECONDS = 20.0
KEYS_SETTINGS = ("EPOCH", "SALT_GRACE", "EPOCH_KEEP")
EDGE_TOKEN, READER_TOKEN = "milepost_" + "e" * 64, "milepost_" + "a" * 64
OPERATOR_TOKEN = "milepost_" + "d" * 64


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_env() -> dict[str, str]:
    """Return this environment without anything that is about Milepost."""
    return {name: value for name, value in os.environ.items() if "MILEPOST" not in name}


@dataclass(slots=True)
class Service:
    """A service as a process that can be killed and started again."""

    package: str
    env: dict[str, str]
    log: Path
    private_port: int
    public_port: int | None = None
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with *prefix* in front of the command."""
        command = [*self.prefix, sys.executable, "-P", "-m", self.package]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=clean_env() | self.env, stdout=log, stderr=log, start_new_session=True
            )

    def wait_live(self) -> None:
        """Wait until its listeners answer."""
        for port in (self.private_port, self.public_port):
            if port is not None:
                self._wait_for(port)

    def _wait_for(self, port: int) -> None:
        ends = time.monotonic() + READY_SECONDS
        while time.monotonic() < ends:
            assert self.process is None or self.process.poll() is None, self.log.read_text()
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=1),
            ):
                return
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it as abruptly as can be."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        status = self.process.wait(30)
        self.process = None
        return status


@dataclass(slots=True)
class World:
    """An edge and a key server on one folder."""

    folder: Path
    edge: Service
    keys: Service
    public_port: int

    @property
    def data(self) -> Path:
        """Return the edge's folder, as the edge itself sees it: it may have a disk of its own."""
        folder = Path(self.edge.env["MILEPOST_DATA"])
        process = self.edge.process
        if process is None or not self.edge.prefix:
            return folder
        return Path(f"/proc/{process.pid}/root") / folder.relative_to("/")

    @property
    def log_dir(self) -> Path:
        """Return where the streams are."""
        return self.data / "log"

    @property
    def url(self) -> str:
        """Return the edge's public address."""
        return f"http://127.0.0.1:{self.public_port}"


@contextlib.contextmanager
def world(folder: Path, *, data: Path | None = None, **settings: str) -> Iterator[World]:
    """Run a key server, and prepare an edge that has yet to be started."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = folder / "tokens.json"
    tokens.write_bytes(
        tokens_document(
            [
                ("edge", EDGE_SCOPES, EDGE_TOKEN),
                ("reader", AGGREGATOR_SCOPES, READER_TOKEN),
                ("operator", OPERATOR_SCOPES, OPERATOR_TOKEN),
            ]
        )
    )
    about_keys = {name: settings.pop(name) for name in KEYS_SETTINGS if name in settings}
    keys = _key_server(folder, tokens, about_keys)
    public = free_port()
    private = free_port()
    env = {
        "DATA": str(data or folder / "edge"),
        "REGION": "dfw",
        "LISTEN": f"127.0.0.1:{public}",
        "PRIVATE_LISTEN": f"127.0.0.1:{private}",
        "TOKENS_FILE": str(tokens),
        "TOKEN": EDGE_TOKEN,
        "KEYS_URL": f"http://127.0.0.1:{keys.private_port}",
        "KEYS_IDENTITY": _identity(keys),
        "LINKS_URL": "http://127.0.0.1:9",  # nobody is there: prefixes need no registry
        **settings,
    }
    edge = Service(
        "regional_logger",
        {f"MILEPOST_{name}": value for name, value in env.items()},
        folder / "edge.log",
        private,
        public,
    )
    keys.start()
    keys.wait_live()
    try:
        yield World(folder, edge, keys, public)
    finally:
        for service in (edge, keys):
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.stop()
            service.kill()


def _key_server(folder: Path, tokens: Path, settings: Mapping[str, str]) -> Service:
    port = free_port()
    env = {
        **{f"MILEPOST_{name}": value for name, value in settings.items()},
        "MILEPOST_DATA": str(folder / "keys"),
        "MILEPOST_MASTER_KEY": "11" * 32,
        "MILEPOST_TOKENS_FILE": str(tokens),
        "MILEPOST_PRIVATE_LISTEN": f"127.0.0.1:{port}",
    }
    return Service("key_server", env, folder / "keys.log", port)


def _identity(keys: Service) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "key_server", "init"],
        env=clean_env() | keys.env,
        capture_output=True,
        check=True,
    )
    identity: str = json.loads(done.stdout)["identity"]
    return identity


@dataclass(slots=True)
class Answers:
    """What visitors heard: the paths that were answered 302, and how many were not answered."""

    redirected: list[str] = field(default_factory=list)
    unanswered: int = 0
    other: Counter[int] = field(default_factory=Counter)


async def visit(session: aiohttp.ClientSession, url: str, name: str, answers: Answers) -> None:
    """Make one visit and note what came of it."""
    path = f"/e/target.example/{name}"
    try:
        async with session.get(url + path, allow_redirects=False) as response:
            if response.status == 302:
                answers.redirected.append(path)
            else:
                answers.other[response.status] += 1
    except (aiohttp.ClientError, TimeoutError, OSError):
        answers.unanswered += 1


@contextlib.asynccontextmanager
async def visitors(
    seconds: float = 90.0, *, fresh: bool = False
) -> AsyncIterator[aiohttp.ClientSession]:
    """Lend a session for visits; with *fresh*, each comes over a connection of its own."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    connector = aiohttp.TCPConnector(limit=32, force_close=fresh)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, middlewares=(once,)
    ) as session:
        yield session


async def once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Ask once: on a broken connection the client would quietly ask again, a second visit."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        msg = "the connection broke"
        raise aiohttp.ClientError(msg) from error


async def visit_many(
    running: World, names: list[str], answers: Answers, *, fresh: bool = False
) -> None:
    """Make one visit per name, as many at a time as the session allows."""
    async with visitors(fresh=fresh) as session:
        await asyncio.gather(*(visit(session, running.url, name, answers) for name in names))


@dataclass(slots=True)
class Log:
    """Everything that a log folder says, each batch once, and whether it holds together."""

    batches: dict[BatchId, Batch]
    records: list[Record]
    lives: list[Life]
    streams: int
    rows: int  # batch rows, repeats of a failed commit included

    @property
    def paths(self) -> Counter[str]:
        """Count the records by path."""
        return Counter(record.path for record in self.records)

    @property
    def tally(self) -> TallyRow:
        """Sum every batch's tally over all hours."""
        rows = [
            TallyRow(0, *row[1:])
            for batch in self.batches.values()
            for row in parse_tally(batch.header.tally)
        ]
        sums = add_tallies(rows)
        return sums[0] if sums else TallyRow(0, 0, 0, 0, 0)

    @property
    def meter(self) -> MeterRow:
        """Sum every life's meter over all hours."""
        rows = [row for life in self.lives for row in life.meter]
        return MeterRow(
            0,
            sum(row.accepted for row in rows),
            sum(row.shed for row in rows),
            sum(row.excluded for row in rows),
        )


async def read_log(running: World) -> Log:
    """Open every stream on the folder; check each chain from its beginning."""
    batches: dict[BatchId, Batch] = {}
    rows = streams = 0
    folder = running.log_dir
    if running.edge.prefix and running.edge.process is not None:
        folder = copied(folder, running.folder / "copy")
    for path in sorted(folder.glob("*.db")):
        found = stream_batches(path)
        streams += 1
        rows += len(found)
        chain = first_chain(StreamId(bytes.fromhex(path.stem)))
        for seq, batch in enumerate(found, start=1):
            assert batch.header.seq == seq
            assert batch.follows(chain), f"{path.name}: the chain breaks at {seq}"
            chain = batch.chain
            batches.setdefault(batch.header.batch, batch)
    lives = [read_meter(path) for path in sorted(folder.glob("*.meter"))]
    return Log(batches, await _open(running, batches), lives, streams, rows)


def copied(folder: Path, out: Path) -> Path:
    """Copy a log from another mount, which SQLite does not find its way into."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("*-shm", "*-journal"))
    return out


def stream_batches(path: Path) -> list[Batch]:
    """Return the batches in one file."""
    connection = connect_read_only(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        found = connection.execute(store.BATCHES_AFTER, (0, 1_000_000)).fetchall()
        return store.batches_from(StreamId(bytes.fromhex(path.stem)), found)
    finally:
        connection.close()


async def _open(running: World, batches: Mapping[BatchId, Batch]) -> list[Record]:
    url = f"http://127.0.0.1:{running.keys.private_port}"
    secrets: dict[Epoch, bytes] = {}
    records: list[Record] = []
    async with Client.connect(url, Secret(READER_TOKEN)) as client:
        for batch in batches.values():
            epoch = batch.header.epoch
            if not batch.records:
                continue
            if epoch not in secrets:
                told: dict[str, Any] = await client.get(f"/v1/epochs/{epoch}/record-key")
                secrets[epoch] = bytes.fromhex(told["record_key"])
            records += open_body(batch.header, batch.records, secrets[epoch]).records
    return records
