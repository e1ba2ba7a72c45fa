"""Random histories of edges and an aggregator, told as lists of small steps.

Batches are committed, committed twice after a failure, damaged, rolled back and
forked; answers are cut, repeated and late; streams are copied, written off and
retire; machines are lost, and their replicas swept and deleted; the aggregator
is started again, and restored from its copy.  What is judged is the
real store, by way of real pulls; what judges is `Model`.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Copy, Safe
from milepost.batch import Batch
from milepost.vocabulary import BatchId, StreamId
from tests.aggregator.combined_world import FileOfBatches, World, a_record
from tests.aggregator.histories_machine import Laws, Machine
from tests.aggregator.histories_store import Depot, sweeper_of

Step = tuple[str, int]

MACHINES = 2
ALL = 1_000
HEALING_PULLS = 4
HEALING_ROUNDS = 4
HOUR_MS = 3_600_000
QUIET_MS = 11_000


class Model:
    """What the combined database has to hold: each batch once, whoever brought it, and when."""

    def __init__(self) -> None:
        self.made: dict[BatchId, list[str]] = {}  # the paths of its records
        self.counted: set[BatchId] = set()

    def check(self, hits: list[str]) -> None:
        """Compare with the paths of all *hits*; what was counted once stays so."""
        held = set(hits)
        self.counted |= {batch for batch, paths in self.made.items() if held & set(paths)}
        wanted = Counter(path for batch in self.counted for path in self.made[batch])
        assert Counter(hits) == wanted


class FileCopy(Copy):
    """A copy of the combined database, as its replica is one."""

    def __init__(self, world: World, model: Model, depot: Depot) -> None:
        self.path = world.folder / "copy.db"
        self.counted: set[BatchId] = set()
        self._world = world
        self._model = model
        self._depot = depot

    @property
    def behind(self) -> bool:
        """Tell that it is there."""
        return False

    async def sync(self) -> None:
        """Copy what is committed."""
        await self._world.writer.truncate_wal()
        shutil.copy(self._world.path, self.path)
        self.counted = set(self._model.counted)
        self._depot.base_ms = self._world.clock.moment


class History:
    """One world, and the steps that can happen in it."""

    def __init__(self, world: World, laws: Laws) -> None:
        self.world = world
        self.model = Model()
        self._laws = laws
        self._machines: list[Machine] = []
        self._depot = Depot(world)
        self._copy = FileCopy(world, self.model, self._depot)
        self._pullers: list[Puller] = []
        self._owed: set[BatchId] = set()  # what nobody but the aggregator has any more
        self._abandoned: set[StreamId] = set()
        self._damaged: set[int] = set()  # the identities of batches as they lie in files
        self._kept: list[Batch] = []  # so that no other batch gets the identity of a damaged one
        self._delayed = False
        self._generation = 0
        self._records = 0

    async def begin(self) -> None:
        """Start the machines."""
        for number in range(MACHINES):
            machine = Machine(number, self._laws)
            await self.world.add_edge(edge=machine)
            self._machines.append(machine)
        await self._copy.sync()
        self._open()

    def _open(self) -> None:
        copies = self._laws.copied_before_acknowledged
        self.world.safe = Safe(self.world.store, self._copy if copies else None)
        self._pullers = [self.world.puller(machine) for machine in self._machines]
        self._sweeper = sweeper_of(self.world, self._depot, self._pullers)
        self._generation = self.world.fence.generation

    async def take(self, step: Step) -> None:
        """Let one thing happen, then compare."""
        name, number = step
        await STEPS[name](self, number)
        await self._check()

    async def _check(self) -> None:
        self.model.check(await self.world.paths())
        twice = "SELECT count(*) FROM damaged JOIN applied USING (batch)"
        assert await self.world.one(twice) == 0
        if not self._delayed:  # an old answer calls safe what the restored have yet to hear of
            assert self.world.fence.generation == self._generation

    async def heal(self) -> None:
        """Let all go well for a while; then nothing that is to be had may be missing."""
        for machine in self._machines:
            machine.limit, machine.late = ALL, None
        for _ in range(HEALING_ROUNDS):
            self.world.clock.moment += HOUR_MS  # a file that forks again and again is let rest
            for puller in self._pullers * HEALING_PULLS:
                await puller.step()
            await self._sweeper.step()
            await self.replicate(0)
            for number in range(MACHINES):  # what lies behind a file is read when that has gone
                await self.retire(number)
        await self._check()
        there = {
            batch.header.batch
            for machine in self._machines
            for stream in machine.streams
            for batch in stream.batches
            if id(batch) not in self._damaged
        }
        rows = await self.world.readers.rows("SELECT batch FROM damaged")
        # Whoever comes first is believed: of two files of a stream, one may be damaged.
        aside = {BatchId(batch) for (batch,) in rows}
        assert not (there | self._owed) - self.model.counted - aside
        assert not (self._depot.batches() | self._depot.deleted) - self.model.counted

    def _machine(self, number: int) -> Machine:
        return self._machines[number % MACHINES]

    def _stream(self, number: int) -> tuple[Machine, FileOfBatches]:
        machine = self._machine(number)
        return machine, machine.streams[number // MACHINES % len(machine.streams)]

    def _add(self, stream: FileOfBatches, again: Batch | None = None) -> Batch:
        if again is None:
            paths = [f"/{self._records + n}" for n in range(1 + self._records % 2)]
        else:
            paths = self.model.made[again.header.batch]
        self._records += len(paths)
        records = [a_record(path=path) for path in paths]
        batch = stream.add(self.world.epoch, records, batch=again.header.batch if again else None)
        self.model.made[batch.header.batch] = paths
        return batch

    async def commit(self, number: int) -> None:
        """Write a batch."""
        machine = self._machine(number)
        stream = machine.streams[-1]
        self._ship(machine, stream, self._add(stream))

    async def fail(self, number: int) -> None:
        """Have a commit fail that happened all the same: it comes again in a new stream."""
        machine = self._machine(number)
        stream = machine.streams[-1]
        batch = self._add(stream)
        self._ship(machine, stream, batch)
        stream = machine.rotate()
        self._ship(machine, stream, self._add(stream, again=batch))

    def _ship(self, machine: Machine, stream: FileOfBatches, batch: Batch) -> None:
        self._depot.ship(machine.region, stream.id, batch)

    async def die(self, number: int) -> None:
        """Start an edge again."""
        self._machine(number).begin_life()

    async def cut(self, number: int) -> None:
        """Let answers be short from now on, or long again."""
        self._machine(number).limit = (ALL, 0, 1, 2)[number // MACHINES % 4]

    async def delay(self, number: int) -> None:
        """Have an old answer come once more."""
        machine = self._machine(number)
        if machine.told:
            self._delayed = True
            machine.late = machine.told[number // MACHINES % len(machine.told)]

    async def pull(self, number: int) -> None:
        """Ask one machine."""
        await self._pullers[number % MACHINES].step()

    async def pull_all(self, number: int) -> None:
        """Ask all of them at the same time."""
        del number
        await asyncio.gather(*(puller.step() for puller in self._pullers))

    async def replicate(self, number: int) -> None:
        """Copy the database, as far as it is new."""
        del number
        await self.world.safe.replicate()

    async def retire(self, number: int) -> None:
        """Have an edge forget what is acknowledged."""
        machine = self._machine(number)
        for stream in machine.retire():
            held = {each.header.batch for each in stream.batches if id(each) not in self._damaged}
            written_off = stream.id in self._abandoned
            self._owed |= held & self.model.counted if written_off else held
        if not machine.streams:
            machine.begin()

    async def roll_back(self, number: int) -> None:
        """Put an older copy in a stream's place, and start the edge again."""
        machine, stream = self._stream(number)
        del stream.batches[number // 8 % (len(stream.batches) + 1) :]
        machine.acknowledged.discard(stream.id)
        machine.begin_life()

    async def fork(self, number: int) -> None:
        """Put a copy in a stream's place that has gone on differently."""
        machine, stream = self._stream(number)
        await self.roll_back(number)
        machine.begin_life()
        self._add(stream)

    async def copy(self, number: int) -> None:
        """Have the other machine get a copy of a stream."""
        machine, stream = self._stream(number)
        other = self._machine(number + 1)
        if machine is other or stream.id in {each.id for each in other.streams}:
            return
        double = FileOfBatches(stream.id, stream.chance, list(stream.batches))
        other.streams.insert(0, double)
        other.shut.add(double.id)

    async def damage(self, number: int) -> None:
        """Have the disk change a byte in a box."""
        _, stream = self._stream(number)
        if stream.batches:
            at = number // 8 % len(stream.batches)
            batch = stream.batches[at]
            stream.batches[at] = replace(batch, records=batch.records[:-1] + b"?")
            self._damaged.add(id(stream.batches[at]))
            self._kept.append(stream.batches[at])

    async def lose(self, number: int) -> None:
        """Lose a machine with its volume; another one takes its place."""
        machine = self._machine(number)
        machine.streams.clear()
        machine.begin()

    async def abandon(self, number: int) -> None:
        """Write off the rest of a stream."""
        _, stream = self._stream(number)
        self._abandoned.add(stream.id)
        await self.world.store.abandon_stream(stream.id, self.world.clock.now())

    async def sweep(self, number: int) -> None:
        """Sweep the store, and pull in between, as it goes on all the time."""
        for _ in range(1 + number % 3):
            await self._sweeper.step()
            self.world.clock.moment += QUIET_MS
            await self.pull_all(0)

    async def wait(self, number: int) -> None:
        """Let days pass."""
        self.world.clock.moment += (number % 3 + 1) * 2 * 24 * HOUR_MS

    async def restart(self, number: int) -> None:
        """Start the aggregator again."""
        del number
        await self.world.restart()
        self._open()

    async def restore(self, number: int) -> None:
        """Lose the combined database, and take its copy."""
        del number
        await self.world.close()
        for path in self.world.folder.glob(f"{self.world.path.name}*"):
            path.unlink()
        shutil.copy(self._copy.path, self.world.path)
        self.model.counted = set(self._copy.counted)
        self.world.clock.moment += 1
        await self.world.open()
        await self.world.keyring.watch()
        self._open()


STEPS: Mapping[str, Callable[[History, int], Awaitable[None]]] = {
    "commit": History.commit,
    "fail": History.fail,
    "die": History.die,
    "cut": History.cut,
    "delay": History.delay,
    "pull": History.pull,
    "pull all": History.pull_all,
    "replicate": History.replicate,
    "retire": History.retire,
    "roll back": History.roll_back,
    "fork": History.fork,
    "copy": History.copy,
    "damage": History.damage,
    "lose": History.lose,
    "abandon": History.abandon,
    "sweep": History.sweep,
    "wait": History.wait,
    "restart": History.restart,
    "restore": History.restore,
}
# Most of the time nothing goes wrong, or else nothing would ever be there to go wrong with.
OFTEN = ("commit", "commit", "commit", "pull", "pull", "pull all", "replicate", "retire")
NAMES = (*OFTEN, *STEPS)


async def live_through(folder: Path, steps: list[Step], laws: Laws | None = None) -> None:
    """Let *steps* happen in a world of their own, then heal it."""
    async with AsyncExitStack() as stack:
        world = await World(folder, stack).start()
        history = History(world, laws or Laws())
        await history.begin()
        for step in steps:
            await history.take(step)
        await history.heal()
