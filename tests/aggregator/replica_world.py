"""An object store with replicas that a real litestream has made, and what sweeps it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson

from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.replicas.access import Access
from aggregator.replicas.objects import Objects
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.rules import CLOCKS_MS
from aggregator.replicas.store import ReplicaStore
from aggregator.replicas.sweeping import Sweeper
from aggregator.replicas.taking import CopyTaker
from milepost import sqlite
from milepost.schema import create, load_schema
from milepost.vocabulary import LifeId, StreamId
from tests.aggregator.combined_world import START, FileOfBatches, World, a_record

BINARY = Path(sys.executable).parent / "litestream"
PUT_STREAM = "INSERT INTO stream VALUES (?, ?, 0, ?, ?, ?, '0.1.0')"
PUT_BATCH = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
OLD_MS = START - 2 * CLOCKS_MS


def write_stream(
    path: Path, stream: FileOfBatches, *, region: str, machine: str, upto: int | None = None
) -> None:
    """Write *stream* as an edge's file, *upto* a batch."""
    connection = sqlite.connect(path)
    create(connection, load_schema("stream"))
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(PUT_STREAM, (stream.id, LifeId(stream.id), region, machine, START))
    for batch in stream.batches[:upto]:
        head = batch.header
        names = (head.seq, head.batch, head.count, head.epoch, head.key)
        rest = (head.first_ms, head.last_ms, head.tally)
        row = (*names, *rest, batch.records, batch.addresses, batch.chain)
        connection.execute(PUT_BATCH, row)
    connection.close()


def replicate(path: Path, replica: Path) -> None:
    """Have litestream copy the database at *path* once."""
    config = path.with_suffix(".yml")
    database = {"path": str(path), "replica": {"url": f"file://{replica}"}}
    config.write_bytes(orjson.dumps({"dbs": [database]}))
    env = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    subprocess.run(
        [str(BINARY), "replicate", "-once", "-config", str(config)],
        check=True,
        capture_output=True,
        env=env,
        timeout=30,
    )


def aged(folder: Path, moment_ms: int) -> None:
    """Have everything in *folder* be from that moment."""
    for path in folder.rglob("*"):
        os.utime(path, (moment_ms / 1000, moment_ms / 1000))


@dataclass
class ReplicaWorld:
    """A store beside a world."""

    world: World
    pullers: list[Puller] = field(default_factory=list)
    binary: str = str(BINARY)
    made: int = 0

    @property
    def base(self) -> Path:
        """Return the folder that is the store."""
        return self.world.folder / "store"

    @property
    def scratch(self) -> Path:
        """Return where replicas are restored."""
        return self.world.folder / "scratch"

    def put(
        self,
        stream: FileOfBatches,
        *,
        region: str = "dfw",
        machine: str = "lost",
        upto: int | None = None,
        under: str = "",
    ) -> Path:
        """Put a replica of *stream* into the store, under its own name or another."""
        self.made += 1
        path = self.world.folder / f"made{self.made}.db"
        write_stream(path, stream, region=region, machine=machine, upto=upto)
        return self.put_database(path, under or f"{region}/{machine}/{stream.id.hex()}")

    def put_database(self, path: Path, under: str) -> Path:
        """Put a replica of the database at *path* into the store."""
        replica = self.base / under
        replicate(path, replica)
        aged(replica, OLD_MS)
        return replica

    def sweeper(self) -> Sweeper:
        """Return what a process that starts sweeps the store with."""
        world = self.world
        self.base.mkdir(exist_ok=True)
        access = Access(f"file://{self.base}", dict(os.environ))
        restorer = Restorer(access, self.binary, self.scratch)
        restorer.clear()
        return Sweeper(
            Objects(access),
            restorer=restorer,
            taker=CopyTaker(world.store, Intake(world.store, world.keyring, world.clock)),
            store=ReplicaStore(world.writer, world.readers),
            pullers=self.pullers,
            clock=world.clock,
        )

    async def row(self, stream: FileOfBatches, *columns: str) -> tuple[object, ...]:
        """Return what is stored of *stream*."""
        sql = f"SELECT {', '.join(columns)} FROM stream WHERE stream = ?"
        found = await self.world.readers.row(sql, (stream.id,))
        return tuple(found or ())

    async def pass_time(self, milliseconds: int) -> None:
        """Let time pass."""
        self.world.clock.moment += milliseconds
        await asyncio.sleep(0)


def a_stream(world: World, seed: int, batches: Sequence[int] = (1, 2)) -> FileOfBatches:
    """Return a stream with one record in each batch, numbered as *batches* says."""
    chance = Random(seed)
    stream = FileOfBatches(StreamId(chance.randbytes(16)), chance)
    for number in batches:
        stream.add(world.epoch, [a_record(number)])
    return stream
