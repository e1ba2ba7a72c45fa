"""Hits as they come in real life, made fast and always the same for a seed.

Thirty days up to a given hour, with the rhythm of days and weeks, from twelve
regions.  An epoch is a day of UTC, and no visitor has the same hash in two of them.
Most visitors come one to three times a day, a few often, and one bot fifty thousand
times.  Batches come in the order of their arrival: a little late, some by minutes,
and those of one region by a day.

Everything is made in columns, a day of a region at a time: row by row it would
take ten times as long.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, chain, islice, repeat
from operator import itemgetter
from random import Random
from typing import NamedTuple, TypeVar

from bench.generating.agents import agents, weights
from bench.generating.asks import Ask, Choice, asks
from bench.generating.places import LATE_REGION, ZONES, Zone, hour_weights, places
from milepost.record import Record
from milepost.visitor import HASH_BYTES
from milepost.vocabulary import Epoch, Millis, VisitorHash

SECOND_MS, HOUR_MS, DAY_MS = 1_000, 3_600_000, 86_400_000
DAYS = 30
BATCH_MAX = 200
LAG_MS, SELDOM_LAG_MS = 1_500, 300_000
BOT_A_DAY, BOT_SHARE_MAX, BOT_REGION = 50_000, 0.15, "iad"
WEEK = (1.10, 1.15, 1.15, 1.10, 1.00, 0.80, 0.75)  # from Monday on
MONDAY = 4  # the days from the first of 1970 to the first Monday
PEOPLE_PER_HIT = 0.06  # how many there are, some of whom come on any one day

_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
_METHOD_SUMS = (0.962, 0.992, 0.997, 1.0)
_TIMES = tuple(chain(range(1, 9), (12, 20, 35, 60, 100)))  # how often one comes on a day
_TIMES_SUMS = tuple(accumulate((560, 240, 110, 35, 20, 10, 6, 4, 6, 4, 2, 1, 0.5)))
_SCANS = tuple(range(20, 200, 15))
_RANGES = (
    *repeat(None, 500),
    *repeat("bytes=0-", 250),
    *repeat("bytes=0-1", 150),
    *(f"bytes={65_536 * (1.07**number):.0f}-" for number in range(100)),
)
_SOON_MS = tuple(int(40 * 1.0107**number) for number in range(1_000))  # 40 ms to half an hour


T = TypeVar("T")


class Arrival(NamedTuple):
    """What one region's commit kept, and when it came."""

    arrived: Millis
    region: str
    epoch: Epoch
    records: list[Record]


class Span(NamedTuple):
    """The part of a day that hits fall in."""

    start: int
    end: int

    @property
    def epoch(self) -> Epoch:
        """Return the day's number, which is its epoch."""
        return Epoch(self.start // DAY_MS)


class Person(NamedTuple):
    """Somebody who comes now and then."""

    name: bytes  # in place of an address
    country: str
    subdivision: str | None
    asn: int
    language: str | None
    agent: str | None


class Visit(NamedTuple):
    """What of a record depends on who comes, on one day."""

    visitor: VisitorHash | None
    country: str | None
    subdivision: str | None
    asn: int | None
    opt_out: bool | None
    language: str | None
    agent: str | None
    session: str | None


class Block(NamedTuple):
    """Visits of one sort, in columns."""

    times: list[int]
    visits: list[Visit]
    asked: list[Ask]
    referers: list[str | None]
    ranges: Sequence[str | None]
    methods: Sequence[str]


class Crowd:
    """Who comes, from where, and for what: *hits* tells how many people it takes."""

    def __init__(self, hits: int, seed: int = 1) -> None:
        self._seed = seed
        self._chance = Random(seed)
        self._asks = asks(self._chance)
        found = agents(self._chance)
        none: list[str | None] = [None]
        referers = self._asks.referers
        sums = list(accumulate(1 / (number + 1) ** 0.9 for number in range(len(referers))))
        self._referers = none * 65_536 + self._chance.choices(referers, cum_weights=sums, k=65_536)
        self._people: dict[tuple[str, str], list[Person]] = {}
        for zone in ZONES:
            count = max(40, round(hits * PEOPLE_PER_HIT * zone.share))
            for kind, some, share in (
                ("click", found.browsers, 0.55),
                ("listen", found.players, 0.40),
                ("bot", found.bots, 0.04),
                ("scan", found.scanners, 0.01),
            ):
                made = self._persons(zone, some, max(10, round(count * share)))
                self._people[zone.region, kind] = made
        (self._heavy,) = self._persons(ZONES[0], found.bots[:1], 1)

    def arrivals(self, hits: int, end: Millis) -> Iterator[Arrival]:
        """Give *hits* hits up to *end*, in whole hours, in the order in which they come."""
        held: list[Arrival] = []
        for span, count in _spans(hits, end - end % HOUR_MS):
            come = held
            held = []
            for zone, some in _shared(count, [(zone, zone.share) for zone in ZONES]):
                into = held if zone.region == LATE_REGION else come
                into += self._batches(zone, span, self._day(zone, span, some, count))
            yield from sorted(come, key=itemgetter(0))
        yield from sorted(held, key=itemgetter(0))

    def _persons(self, zone: Zone, some: Sequence[str], count: int) -> list[Person]:
        names = [self._chance.randbytes(8) for _ in range(count)]
        told = self._chance.choices(some, weights(len(some)), k=count)
        return [
            Person(
                name,
                place.country,
                place.subdivision,
                place.asn,
                place.language if name[0] < 200 else None,
                agent if name[1:3] > b"\x00\x80" else None,
            )
            for name, place, agent in zip(
                names, places(zone, count, self._chance), told, strict=True
            )
        ]

    def _day(self, zone: Zone, span: Span, count: int, of_all: int) -> list[Record]:
        """Return what one region keeps in a day, by time."""
        region = zone.region
        heavy = min(BOT_A_DAY, round(of_all * BOT_SHARE_MAX)) if region == BOT_REGION else 0
        shares = (("click", 0.50), ("listen", 0.43), ("bot", 0.05), ("scan", 0.02))
        blocks = [
            self._block(zone, span, kind, some)
            for kind, some in _shared(max(0, count - heavy), shares)
        ]
        if heavy:
            blocks.append(self._heavy_block(zone, span, min(heavy, count)))
        records = [each for block in blocks for each in _records(region, block)]
        records.sort(key=itemgetter(1))
        return records

    def _block(self, zone: Zone, span: Span, kind: str, count: int) -> Block:
        chance, people = self._chance, self._people[zone.region, kind]
        times, sums = (_SCANS, None) if kind == "scan" else (_TIMES, _TIMES_SUMS)
        often: list[int] = []
        while (missing := count - sum(often)) > 0:
            often += chance.choices(times, cum_weights=sums, k=missing // 2 + 1)
        pick, size = chance.random, len(people)
        who = [people[int(pick() ** 2 * size)] for _ in often]
        salt = self._salt(span.epoch)
        visits = [_visit(person, salt, kind, chance) for person in who]
        begun = self._moments(zone, span, len(who))
        soon = chance.choices(_SOON_MS, k=count)
        length = span.end - span.start
        moments = [
            span.start + (moment + later) % length
            for moment, later in zip(_each(begun, often), soon, strict=False)
        ]
        choice = {"listen": self._asks.episodes, "scan": self._asks.scanned}.get(kind)
        asked = _choose(choice or self._asks.links, count, chance)
        if kind in {"click", "listen"}:
            self._once(asked, kind, count // 25)
        return Block(
            moments,
            list(islice(_each(visits, often), count)),
            asked,
            chance.choices(self._referers, k=count) if kind == "click" else [None] * count,
            chance.choices(_RANGES, k=count) if kind == "listen" else [None] * count,
            chance.choices(_METHODS, cum_weights=_METHOD_SUMS, k=count),
        )

    def _heavy_block(self, zone: Zone, span: Span, count: int) -> Block:
        """Return what the one bot does that comes all the time and tries every link alike."""
        chance = self._chance
        visit = _visit(self._heavy, self._salt(span.epoch), "bot", chance)
        return Block(
            [span.start + int(chance.random() * (span.end - span.start)) for _ in range(count)],
            [visit] * count,
            chance.choices(self._asks.links.things, k=count),
            [None] * count,
            [None] * count,
            ["GET"] * count,
        )

    def _once(self, asked: list[Ask], kind: str, count: int) -> None:
        """Make *count* of what is asked unlike any other: those paths come once."""
        roll, bits = self._chance.randrange, self._chance.getrandbits
        for _ in range(count):
            at = roll(len(asked))
            ask = asked[at]
            name = f"_ulid=01{bits(120):024X}" if kind == "listen" else f"fbclid={bits(200):050x}"
            tag = f"{'&' if '?' in ask.path else '?'}{name}"
            ulid = name.removeprefix("_ulid=") if kind == "listen" else None
            target = ask.target and ask.target + tag
            asked[at] = ask._replace(path=ask.path + tag, target=target, ulid=ulid)

    def _salt(self, epoch: Epoch) -> bytes:
        return blake2b(f"{self._seed} {epoch}".encode(), digest_size=32).digest()

    def _moments(self, zone: Zone, span: Span, count: int) -> list[int]:
        """Return when *count* visitors come, from the beginning of *span* on."""
        roll = self._chance.random
        first = span.start % DAY_MS // HOUR_MS
        hours = range((span.end - span.start) // HOUR_MS)
        told = [hour_weights(zone)[first + hour] for hour in hours]
        return [
            HOUR_MS * hour + int(roll() * HOUR_MS)
            for hour in self._chance.choices(hours, told, k=count)
        ]

    def _batches(self, zone: Zone, span: Span, records: list[Record]) -> Iterator[Arrival]:
        """Cut what one region keeps into batches; say when each of them comes."""
        chance, at = self._chance, 0
        late = DAY_MS if zone.region == LATE_REGION else 0
        while at < len(records):
            some = records[at : at + min(BATCH_MAX, 1 + int(BATCH_MAX * chance.random() ** 3))]
            at += len(some)
            lag = chance.expovariate(1 / (SELDOM_LAG_MS if chance.random() < 0.01 else LAG_MS))
            arrived = Millis(some[-1].time + round(lag) + late)
            yield Arrival(arrived, zone.region, span.epoch, some)


def _spans(hits: int, end: int) -> list[tuple[Span, int]]:
    """Return the days up to *end*, the first and the last of them cut, and the hits of each."""
    start = end - DAYS * DAY_MS
    days = range(start - start % DAY_MS, end, DAY_MS)
    spans = [Span(max(day, start), min(day + DAY_MS, end)) for day in days]
    shares = [
        (span, (span.end - span.start) * WEEK[(span.epoch - MONDAY) % len(WEEK)]) for span in spans
    ]
    return _shared(hits, shares)


def _shared(count: int, shares: Sequence[tuple[T, float]]) -> list[tuple[T, int]]:
    """Return *count* in shares: whole numbers that add up to it."""
    sums = list(accumulate(share for _, share in shares))
    ends = [0, *(round(count * each / sums[-1]) for each in sums)]
    return [(thing, ends[at + 1] - ends[at]) for at, (thing, _) in enumerate(shares)]


def _each(things: Sequence[T], often: Sequence[int]) -> Iterator[T]:
    """Give each of *things* as often as is told."""
    return chain.from_iterable(map(repeat, things, often))


def _choose(choice: Choice, count: int, chance: Random) -> list[Ask]:
    return chance.choices(choice.things, cum_weights=choice.sums, k=count)


def _visit(person: Person, salt: bytes, kind: str, chance: Random) -> Visit:
    """Return what is kept of who comes: little of those who opt out."""
    name, country, subdivision, asn, language, agent = person
    session = None
    if kind == "listen" and name[3] < 80:
        session = f"{chance.getrandbits(128):032X}"
    if name[4] < 8 and kind in {"click", "listen"}:
        return Visit(
            None, None, None, None, opt_out=True, language=language, agent=agent, session=session
        )
    if name[4] == 255:  # there was no salt, and no hash came later
        return Visit(None, country, subdivision, asn, None, language, agent, session)
    hashed = VisitorHash(blake2b(name, key=salt, digest_size=HASH_BYTES).digest())
    return Visit(hashed, country, subdivision, asn, None, language, agent, session)


def _records(region: str, block: Block) -> Iterator[Record]:
    """Return the records of *block*: the columns put side by side."""
    if not block.times:
        return iter(())
    kinds, hosts, paths, targets, statuses, links, variants, *rest = zip(*block.asked, strict=True)
    sources, source_kinds, arguments, ulids = rest
    who, countries, subdivisions, asns, opted, *told = zip(*block.visits, strict=True)
    languages, told_agents, sessions = told
    # Who is not told by a tag in the query is told by the referer.
    telling = [tag or referer for tag, referer in zip(sources, block.referers, strict=True)]
    ways = [
        way or ("implicit" if referer else None)
        for way, referer in zip(source_kinds, block.referers, strict=True)
    ]
    columns = (
        *(kinds, block.times, block.methods, hosts, paths, targets, statuses, repeat(region)),
        *(links, variants, who, countries, subdivisions, asns, told_agents, block.referers),
        *(telling, ways, block.ranges, sessions, ulids, languages, opted, arguments),
        *(repeat(None), repeat(None)),
    )
    return map(Record._make, zip(*columns, strict=False))
