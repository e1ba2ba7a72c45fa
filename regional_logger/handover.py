"""Handing over: what an aggregator gets when it pulls, and what its word allows.

`POST /v1/pull` answers at once when there is something after the cursors, else
when a commit rings the bell, else after the asked time.  Asking twice is
harmless: reading changes nothing, and acknowledging is only ever repeated.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from milepost import __version__
from milepost.batch import Batch, first_chain
from milepost.clock import Clock
from milepost.errors import UnavailableError
from milepost.vocabulary import Region, Seq, StreamId
from milepost.wire import Cursor, Life, PullAnswer, PullRequest, StreamHead
from regional_logger.bell import Bell
from regional_logger.readers import Asking, ReaderBook
from regional_logger.shelf import Contents, Shelf

PULLS_MAX = 8  # each may hold its limit in memory


@dataclass(frozen=True, slots=True)
class Source:
    """Which machine answers."""

    region: Region
    machine: str


@dataclass(slots=True)
class _Gathered:
    batches: list[Batch] = field(default_factory=list)
    forks: list[StreamId] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    more: bool = False


class Handover:
    """Answers pulls."""

    def __init__(
        self, source: Source, *, shelf: Shelf, readers: ReaderBook, bell: Bell, clock: Clock
    ) -> None:
        self._source = source
        self._clock = clock
        self._pulling = 0
        self._shelf = shelf
        self._readers = readers
        self._bell = bell
        self._turn = 0

    async def pull(self, request: PullRequest, *, may_acknowledge: bool) -> PullAnswer:
        """Answer *request*, after a while if there is nothing yet."""
        asking = Asking(request.reader, request.generation, may_acknowledge)
        self._readers.admit(asking, self._clock.now())
        with self._one_of_few():
            return await self._wait_and_gather(request)

    @contextlib.contextmanager
    def _one_of_few(self) -> Iterator[None]:
        if self._pulling >= PULLS_MAX:
            msg = f"{PULLS_MAX} pulls are being answered; ask again"
            raise UnavailableError(msg)
        self._pulling += 1
        try:
            yield
        finally:
            self._pulling -= 1

    async def _wait_and_gather(self, request: PullRequest) -> PullAnswer:
        ends = asyncio.get_running_loop().time() + request.wait_ms / 1000
        while True:
            news = self._bell.hear()
            contents = await self._shelf.contents()
            self._readers.acknowledge(request, contents.heads, contents.lives)
            found = await self._gather(request, contents.heads)
            left = ends - asyncio.get_running_loop().time()
            if found.batches or left <= 0 or self._bell.closed:
                # The meters last of all: what they accepted covers every batch in the answer.
                lives, unreadable = self._shelf.lives()
                found.unreadable += unreadable
                return self._answer(contents, _told(contents.lives, lives), found)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await news.wait()

    async def _gather(self, request: PullRequest, heads: tuple[StreamHead, ...]) -> _Gathered:
        """Read from every stream that goes on after its cursor, each its share, in turn.

        Every other time the streams being written come first, and may take half of what is
        left: however many old ones there are, clicks of this moment are handed over.
        """
        found = _Gathered()
        behind = []
        for head in heads:
            after = request.cursors.get(head.id, Cursor(Seq(0), first_chain(head.id)))
            if after == (head.last_seq, head.last_chain):
                continue
            behind.append((head, after))
        self._turn += bool(behind)
        start = self._turn % len(behind) if behind else 0
        in_turn = behind[start:] + behind[:start]
        live_first = self._turn % 2 == 0
        if live_first:
            in_turn.sort(key=lambda each: not each[0].open)
        left = request.limit_bytes
        for count, (head, after) in enumerate(in_turn):
            if left <= 0 and found.batches:
                found.more = True
                break
            sharers = len(behind) - count
            share = left // (min(sharers, 2) if live_first and head.open else sharers)
            left -= await self._read(head, after, share, found)
        return found

    async def _read(self, head: StreamHead, after: Cursor, share: int, found: _Gathered) -> int:
        """Add what follows *after* in one stream to *found*; return its size."""
        reading = await self._shelf.read(head.id, after, share)
        if reading.fork:
            found.forks.append(head.id)
        if reading.unreadable:  # this file's own trouble: named, and the others go on
            found.unreadable.append(self._shelf.path_of(head.id).name)
        batches = reading.batches
        found.batches += batches
        if batches and batches[-1].header.seq < head.last_seq and not reading.unreadable:
            found.more = True
        return sum(len(batch.records) + len(batch.addresses) for batch in batches)

    def _answer(self, contents: Contents, lives: tuple[Life, ...], found: _Gathered) -> PullAnswer:
        return PullAnswer(
            region=self._source.region,
            machine=self._source.machine,
            version=__version__,
            lives=lives,
            streams=tuple(
                replace(head, acknowledged=self._readers.is_acknowledged(head))
                for head in contents.heads
            ),
            batches=tuple(found.batches),
            forks=tuple(found.forks),
            unreadable=tuple(dict.fromkeys((*contents.unreadable, *found.unreadable))),
            more=found.more,
        )


def _told(before: Iterable[Life], now: Iterable[Life]) -> tuple[Life, ...]:
    """Return the lives as they are *now*; one has ended if it had before the streams were listed.

    Else it may have begun a stream since, which the answer does not name.
    """
    ended = {life.id for life in before if not life.alive}
    return tuple(replace(life, alive=life.id not in ended) for life in now)
