"""An aggregator in a folder, with edges and a key server that speak the real protocol.

The edges answer from batches that are sealed and chained as real ones are.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Self

import nacl.bindings as sodium
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer

from aggregator.fencing.fence import Fence
from aggregator.forgetting.ages.retention import Retention
from aggregator.forgetting.ages.rules import Ages
from aggregator.forgetting.erasing import Eraser
from aggregator.forgetting.handlers import Forgetting
from aggregator.hashes.asking import HashAsker
from aggregator.hashes.store import HashStore
from aggregator.opening.keyring import Keyring
from aggregator.opening.late import LateOpener
from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Safe
from aggregator.reclassifying.reclassifier import Reclassifier
from aggregator.store import Store
from key_server.boxes import Destroyed, EpochSecrets, as_hashes, open_items
from milepost.batch import (
    TALLY_COUNT_MAX,
    Batch,
    Header,
    TallyRow,
    add_tallies,
    first_chain,
    hour_of,
    next_chain,
    parse_tally,
    tally_text,
)
from milepost.client import Client, new_session
from milepost.config import Secret
from milepost.database import QueryReaders, Readers, Writer, open_database
from milepost.epochs import PublicEpoch, sign_list
from milepost.errors import ConflictError
from milepost.hashing import Item, parse_items
from milepost.http import json_response, new_app, problem_json
from milepost.record import RawRecord, Record
from milepost.seal import address_mac_key, seal_addresses, seal_records, token_id
from milepost.tokens import MacKeys
from milepost.vocabulary import (
    BatchId,
    Chain,
    Epoch,
    KeyId,
    LifeId,
    LinkId,
    Millis,
    Salt,
    Seq,
    StreamId,
    VisitorHash,
)
from milepost.wire import Cursor, Life, MeterRow, PullAnswer, StreamHead, parse_request

START = Millis(1_763_640_000_000)  # 2025-11-20T12:00:00Z
DAY_MS = 86_400_000
TOKEN = "milepost_test"


# A damaged batch of which only stream, seq, count and tally matter, and the values of the rest.
DAMAGED = """
    INSERT INTO damaged (stream, seq, count, tally, batch, epoch, key, first_ms, last_ms, records,
                         addresses, chain, before, reason, at_ms)
"""
NOTHING = "zeroblob(16), 7, x'', 0, 0, x'', x'', zeroblob(32), zeroblob(32), 'damaged', 0"


@dataclass
class MovableClock:
    """Time that passes when told, or when somebody sleeps."""

    moment: int = START

    def now(self) -> Millis:
        """Return the moment."""
        return Millis(self.moment)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.moment += round(seconds * 1000)
        await asyncio.sleep(0)


@dataclass(frozen=True)
class EpochKeys:
    """An epoch with its secrets."""

    public: PublicEpoch
    record_secret: bytes
    address_secret: bytes
    salt: Salt


def an_epoch(number: int, chance: Random) -> EpochKeys:
    """Return an epoch of a day."""
    record_public, record_secret = sodium.crypto_box_seed_keypair(chance.randbytes(32))
    address_public, address_secret = sodium.crypto_box_seed_keypair(chance.randbytes(32))
    start = START + (number - 7) * DAY_MS
    public = PublicEpoch(
        number=Epoch(number),
        start_ms=Millis(start),
        end_ms=Millis(start + DAY_MS),
        record_key=record_public,
        address_key=address_public,
    )
    return EpochKeys(public, record_secret, address_secret, Salt(bytes([number]) * 32))


def a_record(number: int = 0, **changes: Any) -> Record:
    """Return a record; *number* tells it from others."""
    record = Record(
        kind="link",
        time=Millis(START + number),
        method="GET",
        host="a.example",
        path=f"/spring?n={number}",
        target="https://shop.example/",
        status=302,
        region="dfw",
        link=LinkId("spring"),
        visitor=VisitorHash(bytes([number % 256]) * 16),
        agent="Mozilla/5.0",
    )
    return record._replace(**changes)


@dataclass
class FileOfBatches:
    """A stream as an edge has it."""

    id: StreamId
    chance: Random
    batches: list[Batch] = field(default_factory=list)
    more: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # by hour, on the meter
    open: bool = True
    alive: bool = True
    metered: bool = True

    def add(
        self,
        epoch: EpochKeys,
        records: Sequence[Record],
        *,
        batch: BatchId | None = None,
        addresses: Mapping[int, str] | None = None,
        raw: Sequence[RawRecord] = (),
        **changes: Any,
    ) -> Batch:
        """Seal and chain *records* as the next batch; *changes* go into its header."""
        count = len(records) + len(raw)
        header = self._header(epoch, records, batch or BatchId(self.chance.randbytes(16)), count)
        header = replace(header, **changes)
        box = seal_records(header, records, epoch.public.record_key, raw) if records else b""
        addressed = b""
        if addresses:
            addressed = seal_addresses(header, addresses, epoch.public.address_key, TOKEN)
        return self.add_boxes(header, box, addressed)

    def add_boxes(self, header: Header, records: bytes, addresses: bytes = b"") -> Batch:
        """Chain a batch as it is."""
        chain = next_chain(self.chain, header, records, addresses)
        batch = Batch(header=header, records=records, addresses=addresses, chain=chain)
        self.batches.append(batch)
        return batch

    @property
    def chain(self) -> Chain:
        """Return the chain up to the last batch."""
        return self.batches[-1].chain if self.batches else first_chain(self.id)

    def head(self) -> StreamHead:
        """Return what an edge announces."""
        return StreamHead(
            id=self.id,
            life=LifeId(self.id),
            created_ms=START,
            open=self.open,
            last_seq=Seq(len(self.batches)),
            last_chain=self.chain,
            records=sum(batch.header.count for batch in self.batches),
        )

    def after(self, cursor: Cursor | None) -> list[Batch] | None:
        """Return what follows *cursor*, or None if it is of another history."""
        seq = cursor.seq if cursor else 0
        if cursor and seq and [b.chain for b in self.batches[seq - 1 : seq]] != [cursor.chain]:
            return None
        return self.batches[seq:]

    def meter(self) -> tuple[MeterRow, ...]:
        """Return what a meter says that has counted what the batches tell, each once, and more."""
        tallies = {batch.header.batch: batch.header.tally for batch in self.batches}
        rows = add_tallies(row for text in tallies.values() for row in parse_tally(text))
        counts = {hour: (recorded, shed, excluded) for hour, recorded, _, shed, excluded in rows}
        return tuple(
            MeterRow(
                hour, *map(sum, zip(counts.get(hour, (0, 0, 0)), self.beyond(hour), strict=True))
            )
            for hour in sorted(counts.keys() | self.more.keys())
        )

    def beyond(self, hour: int) -> tuple[int, int, int]:
        """Return what the meter of *hour* holds beyond the batches."""
        return self.more.get(hour, (0, 0, 0))

    def _header(
        self, epoch: EpochKeys, records: Sequence[Record], batch: BatchId, count: int
    ) -> Header:
        times = [record.time for record in records] or [START]
        sane = [time for time in times if time <= TALLY_COUNT_MAX]
        hours = Counter(map(hour_of, sane) if records else [])
        hours[hour_of(START)] += count - hours.total()
        tally = tuple(
            TallyRow(hour, counted, 0, *((1, 2) if hour == hour_of(START) else (0, 0)))
            for hour, counted in sorted(hours.items())
        )
        return Header(
            stream=self.id,
            seq=Seq(len(self.batches) + 1),
            batch=batch,
            epoch=epoch.public.number if records else Epoch(0),
            key=epoch.public.key_id if records else KeyId(b""),
            count=count,
            first_ms=min(times),
            last_ms=max(times),
            tally=tally_text(tally),
        )


class Edge:
    """An edge's private listener."""

    def __init__(self, region: str, seed: int) -> None:
        self.region = region
        self.chance = Random(seed)
        self.streams: list[FileOfBatches] = []
        self.asked: list[Any] = []
        self.fault: Any = None  # told instead of an answer; with "detail": as a 409
        self.limit = 1_000
        self.holds = False
        self.closed = False
        self.acknowledged: set[StreamId] = set()
        self.news = asyncio.Event()
        self.url = ""

    def begin(self) -> FileOfBatches:
        """Begin a stream."""
        self.streams.append(FileOfBatches(StreamId(self.chance.randbytes(16)), self.chance))
        return self.streams[-1]

    def answer(self, cursors: Mapping[StreamId, Cursor]) -> PullAnswer:
        """Return what this edge has beyond *cursors*."""
        found = {stream.id: stream.after(cursors.get(stream.id)) for stream in self.streams}
        batches = [batch for each in found.values() for batch in each or ()]
        return PullAnswer(
            region=self.region,
            machine="local",
            version="0.1.0",
            lives=tuple(
                Life(
                    id=LifeId(stream.id),
                    worker=0,
                    started_ms=START,
                    alive=stream.alive,
                    meter=stream.meter(),
                )
                for stream in self.streams
                if stream.metered
            ),
            streams=tuple(
                replace(
                    stream.head(),
                    open=stream.head().open and not self.closed,
                    acknowledged=stream.id in self.acknowledged,
                )
                for stream in self.streams
            ),
            batches=tuple(batches[: self.limit]),
            forks=tuple(stream for stream, each in found.items() if each is None),
            unreadable=(),
            more=len(batches) > self.limit,
        )

    async def pull(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/pull`."""
        asked = parse_request(orjson.loads(await request.read()))
        self.asked.append(asked)
        if self.fault is not None:
            return json_response(self.fault, status=409 if "detail" in self.fault else 200)
        answer = self.answer(asked.cursors)
        if self.holds and not answer.batches:
            self.news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.news.wait(), asked.wait_ms / 1000)
            answer = self.answer(asked.cursors)
        return json_response(answer.to_json())


class KeyServer:
    """A key server's listener."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.become_another()
        self.epochs = {number: an_epoch(number, self.chance) for number in (7, 8)}
        self.down = False
        self.calls: list[int] = []
        self.macs = MacKeys({token_id(TOKEN): address_mac_key(TOKEN)})
        self.hash_calls: list[list[bytes]] = []  # the batches that each call named
        self.destroyed: set[int] = set()  # epochs without salt and address key
        self.poison: bytes | None = None  # a batch that no call survives
        self.url = ""

    def become_another(self) -> None:
        """Take an identity that nobody knows."""
        seed = self.chance.randbytes(32)
        self.identity, self._signing_key = sodium.crypto_sign_seed_keypair(seed)
        self.version = Millis(START + seed[0])

    async def list(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/epochs`."""
        if self.down:
            return problem_json(ConflictError("down"), status=503)
        publics = [each.public for each in self.epochs.values()]
        version = Millis(self.version + len(publics))
        etag = f'"{version}"'
        if request.headers.get("If-None-Match") == etag:
            await asyncio.sleep(int(request.query["wait_ms"]) / 1000)
            return web.Response(status=304)
        return web.Response(
            body=sign_list(version, publics, self._signing_key), headers={"ETag": etag}
        )

    async def record_key(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/epochs/{number}/record-key`."""
        number = int(request.match_info["number"])
        self.calls.append(number)
        if self.down:
            return problem_json(ConflictError("down"), status=503)
        if number not in self.epochs:
            raise web.HTTPNotFound
        found = self.epochs[number]
        key, secret = found.public.key_id.hex(), found.record_secret.hex()
        return json_response({"epoch": number, "key": key, "record_key": secret})

    async def hash(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/hash`."""
        items = parse_items(orjson.loads(await request.read()))
        batches = [each.header.batch for each in items if isinstance(each, Item)]
        self.hash_calls.append(list(batches))
        if self.down or self.poison in batches:
            return problem_json(ConflictError("down"), status=503)
        known: dict[Epoch, EpochSecrets | Destroyed] = {
            each.public.number: EpochSecrets(each.public, each.address_secret, each.salt)
            for each in self.epochs.values()
        }
        known |= {Epoch(number): Destroyed() for number in self.destroyed}
        answers = open_items(items, known, self.macs, as_hashes)
        return json_response({"items": [each.to_json() for each in answers]})


class World:
    """Everything one test needs."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.path = folder / "combined.db"
        self.clock = MovableClock()
        self.keys = KeyServer(1)
        self.edges: list[Edge] = []
        self._stack = stack
        self._opened = AsyncExitStack()

    @property
    def epoch(self) -> EpochKeys:
        """Return the epoch that most batches are of."""
        return self.keys.epochs[7]

    async def start(self) -> Self:
        """Start the key server, and open the database."""
        app = new_app(Random(2).randbytes)
        app.router.add_get("/v1/epochs", self.keys.list)
        app.router.add_get("/v1/epochs/{number}/record-key", self.keys.record_key)
        app.router.add_post("/v1/hash", self.keys.hash)
        self.keys.url = await self._serve(app)
        self._session = await self._stack.enter_async_context(new_session())
        self._stack.push_async_callback(self.close)
        await self.open()
        await self.keyring.watch()
        return self

    async def open(self) -> None:
        """Open the database, as a process that starts does."""
        connection = open_database(self.path, "combined")
        self.writer = Writer(connection, checkpoints=True)
        self._opened.push_async_callback(self.writer.close)
        self.readers = await Readers.open(self.path, 2)
        self._opened.push_async_callback(self.readers.close)
        self.queries = await QueryReaders.open(self.path, 2)
        self._opened.push_async_callback(self.queries.close)
        self.fence = await Fence.claim(
            self.path,
            self.writer,
            self.readers,
            machine="here",
            clock=self.clock,
            entropy=self.keys.chance.randbytes,
        )
        self.store = Store(self.writer, self.readers)
        self.keyring = self.new_keyring(self.keys.identity)
        self.late = LateOpener(self.store, self.keyring)
        self.safe = Safe(self.store, None)
        self.hashes = HashStore(self.writer, self.readers)
        self.asker = self.new_asker()

    def new_keyring(self, identity: bytes) -> Keyring:
        """Return a keyring that believes *identity*."""
        return Keyring(Client(self._session, self.keys.url, Secret(TOKEN)), identity, self.clock)

    def new_asker(self) -> HashAsker:
        """Return what asks for hashes, and remembers nothing yet."""
        client = Client(self._session, self.keys.url, Secret(TOKEN))
        return HashAsker(client, self.hashes, self.keyring, self.clock, Random(5).randbytes)

    def forgetting(self, eraser: Eraser | None = None, ages: Ages | None = None) -> Forgetting:
        """Return what answers the calls that forget."""
        erasing = eraser or Eraser(
            self.path,
            writer=self.writer,
            readers=self.readers,
            hits=self.store,
            clock=self.clock,
        )
        retention = Retention(ages or Ages(), self.writer, self.queries, self.clock)
        reclassifier = Reclassifier(self.writer, self.queries)
        return Forgetting(erasing, retention, reclassifier, self.queries, self.clock)

    async def close(self) -> None:
        """Close the database."""
        await self._opened.aclose()

    async def restart(self) -> None:
        """Go on with what is on disk, and with nothing else."""
        await self.close()
        await self.open()
        await self.keyring.watch()

    async def add_edge(self, region: str = "dfw", edge: Edge | None = None) -> Edge:
        """Start an edge: a plain one, or *edge*."""
        edge = edge or Edge(region, 10 + len(self.edges))
        app = new_app(Random(3).randbytes)
        app.router.add_post("/v1/pull", edge.pull)
        edge.url = await self._serve(app)
        self.edges.append(edge)
        return edge

    def puller(self, edge: Edge) -> Puller:
        """Return what pulls *edge*."""
        return Puller(
            Client(self._session, edge.url, Secret(TOKEN)),
            store=self.store,
            fence=self.fence,
            intake=Intake(self.store, self.keyring, self.clock),
            safe=self.safe,
            clock=self.clock,
            entropy=Random(4).randbytes,
        )

    async def hits(self) -> list[tuple[str, str]]:
        """Return id and path of every hit, in the order of arrival."""
        sql = "SELECT h.id, h.path FROM hits h JOIN applied a ON h.id LIKE lower(hex(a.batch))||'%'"
        rows = await self.readers.rows(f"{sql} ORDER BY a.id, h.id")
        return [(str(number), str(path)) for number, path in rows]

    async def paths(self) -> list[str]:
        """Return the path of every hit, in the order of arrival."""
        return [path for _, path in await self.hits()]

    async def tally(self) -> dict[str, tuple[int, ...]]:
        """Return recorded, late, shed and excluded per region."""
        rows = await self.readers.rows(
            "SELECT region, sum(recorded), sum(late), sum(shed), sum(excluded)"
            " FROM tally JOIN life USING (life) GROUP BY region ORDER BY region"
        )
        return {region: tuple(counts) for region, *counts in rows}

    async def one(self, sql: str) -> Any:
        """Return the one value of a question."""
        row = await self.readers.row(sql)
        return row and row[0]

    async def _serve(self, app: web.Application) -> str:
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        self._stack.push_async_callback(server.close)
        return f"http://127.0.0.1:{server.port}"
