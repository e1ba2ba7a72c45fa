"""A backlog: streams of a life that is over, sealed and chained as a real one's, made fast.

What is in them looks like real traffic: few user agents, episodes and pages make
up most of it, and there is a long tail of those that came once.
"""

import asyncio
import os
from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from random import Random

from milepost.batch import TallyRow, hour_of
from milepost.client import Client
from milepost.config import Secret
from milepost.database import open_database
from milepost.epochs import PublicEpoch, verify_list
from milepost.record import Record
from milepost.stream.files import LOCK_SUFFIX, path_of
from milepost.vocabulary import BatchId, LifeId, LinkId, Millis, Region, StreamId, VisitorHash
from regional_logger import store
from regional_logger.meter import LifeInfo, Meter
from regional_logger.stream import Draft, Origin, StreamWriter
from tests.log.kit import EDGE_TOKEN, World

BATCH_RECORDS = (20, 50)
AGENTS, EPISODES, PAGES, RANGES, VISITORS = 3_000, 20_000, 2_000, 500, 200_000
LANGUAGES = ("en-us", "en-gb", "de-de", "fr-fr", "es-mx", "pt-br", "ja-jp", "sv-se")
COUNTRIES = ("US", "US", "US", "GB", "CA", "AU", "DE", "SE", "BR", "MX", "IN", "JP")
MINUTE_MS = 60_000


class Tail:
    """A choice among things of which the n-th is taken n times more seldom than the first."""

    def __init__(self, things: Sequence[str], chance: Random) -> None:
        self._things = things
        self._sums = list(accumulate(1 / (number + 1) for number in range(len(things))))
        self._chance = chance

    def __call__(self) -> str:
        """Choose one."""
        return self._things[bisect(self._sums, self._chance.random() * self._sums[-1])]


class Crowd:
    """Visitors and what they ask for."""

    def __init__(self, chance: Random, region: str = "dfw") -> None:
        def tail(count: int, thing: Callable[[int], str]) -> Tail:
            return Tail([thing(number) for number in range(count)], chance)

        self._chance = chance
        self._region = region
        self._agent = tail(AGENTS, _agent)
        self._episode = tail(EPISODES, lambda n: f"show-{n % 700}.example/audio/{n:05x}/e{n}.mp3")
        self._page = tail(PAGES, lambda n: f"https://page-{n % 90}.example/posts/{n}")
        self._range = tail(RANGES, lambda n: f"bytes={n * 65_536}-")
        self._visitor = tail(VISITORS, lambda n: f"{n * 7_919:032x}")

    def record(self, now: Millis) -> Record:
        """Return what is kept of one visit at *now*."""
        roll = self._chance.random
        episode = self._episode()
        once = f"?token={self._chance.getrandbits(64):016x}" if roll() < 0.1 else ""
        record = Record(
            kind="prefix",
            time=now,
            method="GET" if roll() < 0.97 else "HEAD",
            host="click.example",
            path=f"/e/{episode}{once}",
            target=f"https://{episode}{once}",
            status=302,
            region=self._region,
            visitor=VisitorHash(bytes.fromhex(self._visitor())),
            country=self._chance.choice(COUNTRIES),
            asn=self._chance.choice((7_018, 7_922, 3_320, 3_215, 20_115, 22_773)),
            agent=self._agent(),
            referer=self._page() if roll() < 0.3 else None,
            range=self._range() if roll() < 0.3 else None,
            session=f"{self._chance.getrandbits(128):032X}" if roll() < 0.2 else None,
            language=self._chance.choice(LANGUAGES) if roll() < 0.5 else None,
        )
        if roll() < 0.75:
            return record
        slug = episode[5:14].strip(".")
        return record._replace(
            kind="link", path=f"/{slug}{once}", target=f"https://{episode}", link=LinkId(slug)
        )


def _agent(number: int) -> str:
    if number % 3 == 0:
        return f"AppleCoreMedia/1.0.0.{number}G75 (iPhone; U; CPU OS 16_{number % 9} like Mac OS X)"
    if number % 3 == 1:
        return f"Spotify/8.{number}.0 Android/{number % 20 + 9} (SM-G99{number % 10}U)"
    return (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{number}.0.0.0 Safari/537.36"
    )


async def epoch_now(running: World, now: Millis) -> PublicEpoch:
    """Return the epoch that an edge would seal to at *now*."""
    identity = bytes.fromhex(running.edge.env["MILEPOST_KEYS_IDENTITY"])
    async with Client.connect(running.edge.env["MILEPOST_KEYS_URL"], Secret(EDGE_TOKEN)) as client:
        document, _ = await client.get_changed("/v1/epochs", "", wait_seconds=0)
    found = verify_list(document, identity).at(now)
    assert found
    return found


def write_backlog(
    running: World,
    now: Millis,
    *,
    records: int,
    streams: int = 1,
    seed: int = 1,
    region: str = "dfw",
    told: Callable[[int], None] = lambda _: None,
) -> None:
    """Write streams of a life that has ended into the log of an edge that does not run.

    *told* hears how many records there are, every now and then.
    """
    epoch = asyncio.run(epoch_now(running, now))
    chance = Random(seed)
    folder = Path(running.edge.env["MILEPOST_DATA"]) / "log"
    folder.mkdir(parents=True, exist_ok=True)
    life = LifeInfo(LifeId(chance.randbytes(16)), 0, Millis(now - MINUTE_MS))
    origin = Origin(
        folder=folder, life=life, region=Region(region), machine="past", token=Secret(EDGE_TOKEN)
    )
    meter, crowd = Meter(folder, life), Crowd(chance, region)
    done = 0
    for number in range(streams):
        writer = _hasty_writer(origin, StreamId(chance.randbytes(16)), now)
        ends = records * (number + 1) // streams
        while done < ends:
            count = min(chance.randint(*BATCH_RECORDS), ends - done)
            moment = Millis(now - MINUTE_MS + MINUTE_MS * done // records)
            found = [crowd.record(moment) for _ in range(count)]
            for each in found:
                meter.accept(each.time)
            writer.append(_draft(BatchId(chance.randbytes(16)), epoch, found))
            done += count
            if done % 1_000 < count:
                told(done)
        writer.close()
    meter.close()


def _draft(batch: BatchId, epoch: PublicEpoch, records: Sequence[Record]) -> Draft:
    moment = records[0].time
    return Draft(
        batch=batch,
        epoch=epoch,
        records=records,
        addresses={},
        tally=(TallyRow(hour_of(moment), len(records), 0, 0, 0),),
        now=moment,
    )


def _hasty_writer(origin: Origin, stream: StreamId, now: Millis) -> StreamWriter:
    """Return a stream's writer that does not wait for the disk."""
    path = path_of(origin.folder, stream)
    lock = os.open(path.with_suffix(LOCK_SUFFIX), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    connection = open_database(path, "stream")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA wal_autocheckpoint=1000")
    store.open_stream(
        connection,
        stream=stream,
        life=origin.life.id,
        worker=origin.life.worker,
        region=origin.region,
        machine=origin.machine,
        created_ms=now,
        version="0.1.0",
    )
    return StreamWriter(origin, stream, connection=connection, lock=lock, created_ms=now)
