"""Random histories of edges and an aggregator, told as lists of small steps.

Batches are committed, committed twice after a failure, rolled back and forked;
answers are cut, repeated and late; streams are copied and retire; the
aggregator is started again, and restored from its copy.  What is judged is the
real store, by way of real pulls; what judges is `Model`.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from aiohttp import web

from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Copy, Safe
from milepost.batch import Batch
from milepost.errors import ConflictError
from milepost.http import json_response, problem_json
from milepost.vocabulary import BatchId, StreamId
from milepost.wire import Cursor, PullAnswer, PullRequest, StreamHead, parse_request
from tests.aggregator.combined_world import Edge, FileOfBatches, World, a_record

Step = tuple[str, int]

MACHINES = 2
ALL = 1_000
HEALING_PULLS = 4
HOUR_MS = 3_600_000


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


@dataclass
class Laws:
    """What edges and aggregator keep to; the tests break one at a time."""

    a_life_begins_a_stream: bool = True
    cursors_have_a_chain: bool = True
    copied_before_acknowledged: bool = True


class Machine(Edge):
    """An edge as the wire shows it, to which everything can happen."""

    def __init__(self, number: int, laws: Laws) -> None:
        super().__init__(f"r{number}", number)
        self._laws = laws
        self.shut: set[StreamId] = set()
        self.told: list[PullAnswer] = []
        self.late: PullAnswer | None = None  # an answer that comes instead of the next one
        self._generation = 0
        self.begin()

    def begin_life(self) -> None:
        """Begin anew, in a stream of its own if that law holds."""
        if self._laws.a_life_begins_a_stream:
            self.rotate()

    def rotate(self) -> FileOfBatches:
        """Close all there is, and begin a stream."""
        self.shut |= {stream.id for stream in self.streams}
        return self.begin()

    def retire(self) -> list[Batch]:
        """Forget what may be forgotten; return what was in it."""
        gone = [stream for stream in self.streams if stream.id in self.acknowledged]
        self.streams = [stream for stream in self.streams if stream not in gone]
        return [batch for stream in gone for batch in stream.batches]

    def answer(self, cursors: Mapping[StreamId, Cursor]) -> PullAnswer:
        """Return what this edge has beyond *cursors*."""
        found = {stream.id: self._after(stream, cursors) for stream in self.streams}
        batches = [batch for each in found.values() for batch in each or ()]
        return PullAnswer(
            region=self.region,
            machine=self.region,
            version="0.1.0",
            lives=(),
            streams=tuple(map(self._head, self.streams)),
            batches=tuple(batches[: self.limit]),
            forks=tuple(stream for stream, each in found.items() if each is None),
            unreadable=(),
            more=len(batches) > self.limit,
        )

    async def pull(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/pull`, and hear what may be forgotten."""
        asked = parse_request(orjson.loads(await request.read()))
        if asked.generation < self._generation:
            return problem_json(ConflictError("a newer database reads here"))
        if asked.generation > self._generation:
            self._generation, self.acknowledged = asked.generation, set()
        self._hear(asked)
        answer, self.late = self.late or self.answer(asked.cursors), None
        self.told.append(answer)
        return json_response(answer.to_json())

    def _after(
        self, stream: FileOfBatches, cursors: Mapping[StreamId, Cursor]
    ) -> list[Batch] | None:
        cursor = cursors.get(stream.id)
        if self._laws.cursors_have_a_chain:
            return stream.after(cursor)
        return stream.batches[cursor.seq if cursor else 0 :]

    def _head(self, stream: FileOfBatches) -> StreamHead:
        return replace(
            stream.head(),
            open=stream.id not in self.shut,
            acknowledged=stream.id in self.acknowledged,
        )

    def _hear(self, asked: PullRequest) -> None:
        for stream in self.streams:
            end = (len(stream.batches), stream.chain)
            if stream.id in self.shut and asked.acknowledged.get(stream.id) == end:
                self.acknowledged.add(stream.id)


class FileCopy(Copy):
    """A copy of the combined database, as its replica is one."""

    def __init__(self, world: World, model: Model) -> None:
        self.path = world.folder / "copy.db"
        self.counted: set[BatchId] = set()
        self._world = world
        self._model = model

    @property
    def behind(self) -> bool:
        """Tell that it is there."""
        return False

    async def sync(self) -> None:
        """Copy what is committed."""
        await self._world.writer.truncate_wal()
        shutil.copy(self._world.path, self.path)
        self.counted = set(self._model.counted)


class History:
    """One world, and the steps that can happen in it."""

    def __init__(self, world: World, laws: Laws) -> None:
        self.world = world
        self.model = Model()
        self._laws = laws
        self._machines: list[Machine] = []
        self._copy = FileCopy(world, self.model)
        self._pullers: list[Puller] = []
        self._owed: set[BatchId] = set()  # what nobody but the aggregator has any more
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

    async def take(self, step: Step) -> None:
        """Let one thing happen, then compare."""
        name, number = step
        await STEPS[name](self, number)
        self.model.check(await self.world.paths())

    async def heal(self) -> None:
        """Let all go well for a while; then nothing that is to be had may be missing."""
        for machine in self._machines:
            machine.limit, machine.late = ALL, None
        for puller in self._pullers * 3:
            self.world.clock.moment += HOUR_MS  # a file that forks again and again is let rest
            for _ in range(HEALING_PULLS):
                await puller.step()
        self.model.check(await self.world.paths())
        there = {
            batch.header.batch
            for machine in self._machines
            for stream in machine.streams
            for batch in stream.batches
        }
        assert not (self._owed | there) - self.model.counted

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
        self._add(self._machine(number).streams[-1])

    async def fail(self, number: int) -> None:
        """Have a commit fail that happened all the same: it comes again in a new stream."""
        machine = self._machine(number)
        batch = self._add(machine.streams[-1])
        self._add(machine.rotate(), again=batch)

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
        self._owed |= {batch.header.batch for batch in machine.retire()}
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
