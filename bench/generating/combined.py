"""A combined database of generated hits, made through the aggregator's own store.

What twelve machines hand over is applied answer by answer: announcements, batches,
hits, tallies, meters and cursors, as after a pull.  Only the boxes are left out: what
a batch holds is given as if it had been opened.  Beside the database stands what was
made, and for each field some values to ask for.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random

from aggregator.opening.batches import Opened, Outcome
from aggregator.pulling.select import select
from aggregator.store import Store
from bench.generating.hits import Arrival, Crowd
from bench.generating.places import ZONES
from bench.generating.rolling import roll
from bench.generating.values import Values
from milepost.batch import Batch, Header, TallyRow, first_chain, hour_of, next_chain, tally_text
from milepost.database import Readers, Writer, open_database
from milepost.record import Body
from milepost.schema import load_schema
from milepost.vocabulary import BatchId, KeyId, LifeId, Millis, Seq, StreamId
from milepost.wire import Cursor, Life, MeterRow, PullAnswer, StreamHead

ANSWER_RECORDS = 4_000
KEY = KeyId(bytes(8))

Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a database holds, and how long it took."""

    hits: int
    seed: int
    end_ms: int
    hits_per_second: int
    rolled_per_second: int
    values: dict[str, dict[str, str]]  # by field, and how often they come
    shape: str  # tells whether the schema is still the same


@dataclass(slots=True)
class Machine:
    """A machine as it is pulled: one life and one stream a day."""

    region: str
    chance: Random
    epoch: int = -1  # it has not begun
    stream: StreamId = field(init=False)
    at: Cursor = field(init=False)
    pulled: Cursor = field(init=False)
    records: int = 0
    meter: Counter[int] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)
    waiting: int = 0

    @property
    def url(self) -> str:
        """Return the address it is pulled from."""
        return f"http://{self.region}.bench.example:9000"

    def begin(self, epoch: int) -> None:
        """Begin a life with a stream."""
        self.stream, self.epoch = StreamId(self.chance.randbytes(16)), epoch
        self.at = self.pulled = Cursor(Seq(0), first_chain(self.stream))
        self.records = 0
        self.meter.clear()

    def add(self, arrival: Arrival) -> None:
        """Commit what *arrival* brought."""
        hours = Counter(hour_of(each.time) for each in arrival.records)
        times = [each.time for each in arrival.records]
        header = Header(
            stream=self.stream,
            seq=Seq(self.at.seq + 1),
            batch=BatchId(self.chance.randbytes(16)),
            epoch=arrival.epoch,
            key=KEY,
            count=len(times),
            first_ms=min(times),
            last_ms=max(times),
            tally=tally_text(tuple(TallyRow(*row, 0, 0, 0) for row in hours.items())),
        )
        link = next_chain(self.at.chain, header, b"", b"")
        batch = Batch(header=header, records=b"", addresses=b"", chain=link)
        self.outcomes.append(Opened(batch, Body(tuple(arrival.records))))
        self.at = Cursor(header.seq, link)
        self.meter.update(hours)
        self.records += len(times)
        self.waiting += len(times)

    def answer(self, *, is_open: bool) -> PullAnswer:
        """Return what it hands over."""
        life, begun = LifeId(self.stream), Millis(min(self.meter, default=0))
        meter = tuple(MeterRow(hour, count, 0, 0) for hour, count in sorted(self.meter.items()))
        head = StreamHead(
            id=self.stream,
            life=life,
            created_ms=begun,
            open=is_open,
            last_seq=self.at.seq,
            last_chain=self.at.chain,
            records=self.records,
        )
        return PullAnswer(
            region=self.region,
            machine=f"{self.region}-1",
            version="0.1.0",
            lives=(Life(id=life, worker=0, started_ms=begun, alive=is_open, meter=meter),),
            streams=(head,),
            batches=tuple(each.batch for each in self.outcomes),
            forks=(),
            unreadable=(),
            more=False,
        )


async def pull(store: Store, machine: Machine, now: Millis, *, is_open: bool) -> int:
    """Apply what *machine* has to hand over; return how many hits that were."""
    if not machine.outcomes:
        return 0
    answer = machine.answer(is_open=is_open)
    selection = select({machine.stream: machine.pulled}, answer)
    assert len(selection.fresh) == len(machine.outcomes), selection.faults
    done = await store.apply(machine.url, answer, selection, machine.outcomes, now)
    machine.pulled, machine.outcomes, machine.waiting = machine.at, [], 0
    return done["hits"]


async def fill(store: Store, *, hits: int, end: Millis, seed: int, tell: Tell) -> Values:
    """Make *hits* hits; return values to ask for."""
    chance, values, done = Random(seed), Values(), 0
    machines = {zone.region: Machine(zone.region, chance) for zone in ZONES}
    for arrival in Crowd(hits, seed).arrivals(hits, end):
        machine = machines[arrival.region]
        if arrival.epoch != machine.epoch:
            done += await pull(store, machine, arrival.arrived, is_open=False)
            machine.begin(arrival.epoch)
        values.note(arrival.records)
        machine.add(arrival)
        if machine.waiting >= ANSWER_RECORDS:
            done += await pull(store, machine, arrival.arrived, is_open=True)
            tell(done)
    for machine in machines.values():
        done += await pull(store, machine, end, is_open=True)
    assert done == hits, f"{done} of {hits}"
    return values


async def make(path: Path, *, hits: int, end: Millis, seed: int, tell: Tell) -> Made:
    """Make a database of *hits* hits up to *end* at *path*, rolled up to its head."""
    connection = open_database(path, "combined")
    # Whoever pulls the plug now has to begin again.
    for pragma in ("synchronous=OFF", "wal_autocheckpoint=20000", "cache_size=-500000"):
        connection.execute(f"PRAGMA {pragma}")
    writer, readers = Writer(connection), await Readers.open(path, 2)
    try:
        begun = time.monotonic()
        store = Store(writer, readers)
        values = await fill(store, hits=hits, end=end, seed=seed, tell=tell)
        filled = time.monotonic()
        await roll(writer)
        ended = time.monotonic()
    finally:
        await readers.close()
        await writer.close()
    return Made(
        hits=hits,
        seed=seed,
        end_ms=end,
        hits_per_second=round(hits / (filled - begun)),
        rolled_per_second=round(hits / (ended - filled)),
        values=values.chosen(),
        shape=shape(),
    )


def shape() -> str:
    """Return what changes with the schema."""
    return blake2b(load_schema("combined").sql.encode(), digest_size=8).hexdigest()


def database_of(path: Path, *, hits: int, end: Millis, seed: int, tell: Tell) -> Made:
    """Return what the database *path* holds, made now if it is not there."""
    note = path.with_name(f"{path.name}.json")
    if note.exists():
        made = Made(**json.loads(note.read_bytes()))
        if (made.hits, made.seed, made.shape) != (hits, seed, shape()):
            msg = f"{path} holds other hits, or has another schema: name another, or remove it"
            raise SystemExit(msg)
        return made
    making = path.with_name(f"{path.name}.making")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{making.name}*"):
        left.unlink()
    made = asyncio.run(make(making, hits=hits, end=end, seed=seed, tell=tell))
    making.rename(path)
    note.write_text(json.dumps(asdict(made)))
    return made
