"""The object store of random histories: replicas in memory, swept by the real sweep."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.replicas.names import Name
from aggregator.replicas.objects import Contents, Listing, Objects
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.store import ReplicaStore
from aggregator.replicas.sweeping import Sweeper
from aggregator.replicas.taking import CopyTaker
from milepost.batch import Batch
from milepost.vocabulary import BatchId, Millis, StreamId
from tests.aggregator.combined_world import FileOfBatches, World
from tests.aggregator.replica_world import write_stream


@dataclass
class Replica:
    """What litestream has shipped of one stream, and when."""

    newest_ms: int
    batches: list[Batch] = field(default_factory=list)


class Depot(Objects):
    """Holds replicas."""

    def __init__(self, world: World) -> None:
        self.held: dict[Name, Replica] = {}
        self.deleted: set[BatchId] = set()
        self.base_ms = 0  # the oldest moment to which the combined database can be restored
        self._world = world

    def ship(self, region: str, stream: StreamId, batch: Batch) -> None:
        """Have the writer's litestream copy what it has just committed."""
        now = self._world.clock.moment
        replica = self.held.setdefault(Name(region, region, stream), Replica(now))
        if batch.header.seq == len(replica.batches) + 1:  # else the file has another history
            replica.batches.append(batch)
            replica.newest_ms = now

    def batches(self) -> set[BatchId]:
        """Return everything that is here."""
        return {batch.header.batch for each in self.held.values() for batch in each.batches}

    async def listing(self) -> Listing:
        """Return all names."""
        return Listing(tuple(sorted(self.held)), 0, cut=False)

    async def contents(self, name: Name) -> Contents:
        """Return what is there."""
        held = self.held.get(name)
        if held is None:
            return Contents(0, 0, Millis(0))
        return Contents(len(held.batches), 0, Millis(held.newest_ms))

    async def oldest_base(self) -> Millis | None:
        """Return when the only copy of the combined database was made."""
        return Millis(self.base_ms)

    async def delete(self, name: Name) -> bool:
        """Delete for good."""
        self.deleted |= {batch.header.batch for batch in self.held.pop(name).batches}
        return True


class Unpacker(Restorer):
    """Restores what a depot holds."""

    def __init__(self, depot: Depot, folder: Path) -> None:
        self._depot = depot
        self._path = folder / "restored.db"
        self._one = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def restored(self, name: Name, size_bytes: int) -> AsyncIterator[Path]:
        """Lend the file."""
        del size_bytes
        stream = FileOfBatches(name.stream, Random(1), self._depot.held[name].batches)
        async with self._one:
            try:
                write_stream(self._path, stream, region=name.region, machine=name.machine)
                yield self._path
            finally:
                for path in self._path.parent.glob(f"{self._path.name}*"):
                    path.unlink()


def sweeper_of(world: World, depot: Depot, pullers: list[Puller]) -> Sweeper:
    """Return what a process that starts sweeps the *depot* with."""
    return Sweeper(
        depot,
        restorer=Unpacker(depot, world.folder),
        taker=CopyTaker(world.store, Intake(world.store, world.keyring, world.clock)),
        store=ReplicaStore(world.writer, world.readers),
        pullers=pullers,
        clock=world.clock,
    )
