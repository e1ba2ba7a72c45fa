"""Keeping workers: started, started again, told, ended."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from milepost.backoff import Backoff
from milepost.vocabulary import Millis, StreamId
from regional_logger.bell import Bell
from regional_logger.replication import NamedFile
from regional_logger.workers.crew import SILENT_LOOKS_MAX, Crew, Terms, Worker
from regional_logger.workers.messages import (
    Begin,
    Closing,
    Committed,
    Counts,
    End,
    Failed,
    Message,
    Opened,
    Released,
    Serving,
    TurnOver,
)
from regional_logger.workers.office import FrontOffice
from regional_logger.workers.pipe import Pipe
from regional_logger.workers.sums import Summed
from tests.edge.test_workers_sums import ACCEPTED, OnlyVisits, value

STREAM = StreamId(bytes(range(16)))
IMPATIENT = Backoff(first_seconds=0.5, seconds_max=2.0, healthy_seconds=60)


class Clock:
    """Notes how long it was asked to sleep, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.long = False

    def now(self) -> Millis:
        """Return some moment."""
        return Millis(0)

    async def sleep(self, seconds: float) -> None:
        """Return at once, or never."""
        self.slept.append(seconds)
        if self.long:
            await asyncio.Event().wait()


class Hand:
    """A worker's process, as far as its parent can tell."""

    pid = 4711

    def __init__(self, number: int, end: socket.socket) -> None:
        self.number = number
        self._end = end.dup()
        self.pipe: Pipe | None = None
        self.heard: list[Message] = []
        self.gone = asyncio.Event()
        self.status = 0
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        self.pipe = await Pipe.over(self._end)
        async for message in self.pipe.messages():
            self.heard.append(message)
            if message == End():
                break
        await self.pipe.close()
        self.gone.set()

    async def wait(self) -> int:
        """Return how it ended."""
        await self.gone.wait()
        return self.status

    def send_signal(self, number: signal.Signals) -> None:
        """End it, as any signal would."""
        if not self.gone.is_set():
            self.status = -number
            self.task.cancel()
            if self.pipe is not None:
                self.pipe._writer.close()
            self.gone.set()

    def tell(self, message: Message) -> None:
        """Tell the parent."""
        assert self.pipe is not None
        self.pipe.tell(message)


class Keeper:
    """Notes what litestream would be told."""

    replicates = True

    def __init__(self) -> None:
        self.told: list[tuple[str, StreamId]] = []

    def opened(self, stream: NamedFile) -> None:
        """Note it."""
        self.told.append(("opened", stream.id))

    async def closing(self, stream: NamedFile) -> None:
        """Note it."""
        self.told.append(("closing", stream.id))

    def failed(self, stream: NamedFile) -> None:
        """Note it."""
        self.told.append(("failed", stream.id))


class World:
    """A parent whose workers are in this process."""

    def __init__(self, folder: Path) -> None:
        self.hands: list[Hand] = []
        self.refusals = 0
        self.bell, self.keeper, self.clock = Bell(), Keeper(), Clock()
        self.summed = Summed(OnlyVisits())
        self.crew = Crew(2)
        office = FrontOffice(
            folder,
            bell=self.bell,
            keeper=self.keeper,
            summed=self.summed,
            words=lambda: [Begin()],
        )
        self.terms = Terms(office=office, clock=self.clock, backoff=IMPATIENT, spawn=self.spawn)

    async def spawn(self, number: int, end: socket.socket) -> asyncio.subprocess.Process:
        """Start a worker, unless there is no memory left."""
        if self.refusals:
            self.refusals -= 1
            raise OSError(12, "Cannot allocate memory")
        self.hands.append(Hand(number, end))
        return cast("asyncio.subprocess.Process", self.hands[-1])


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    """Two workers that serve."""
    world = World(tmp_path)
    world.crew.start(world.terms)
    await until(lambda: len(world.hands) == 2 and all(hand.heard for hand in world.hands))
    for hand in world.hands:
        hand.tell(Serving())
    await until(lambda: not world.crew.reasons())
    yield world
    await world.crew.close()


async def until(holds: Callable[[], object]) -> None:
    """Return once *holds* does; the test's own time limit ends a wait in vain."""
    while not holds():  # noqa: ASYNC110 - what is waited for happens at the other end of a pipe
        await asyncio.sleep(0.001)


async def test_a_worker_is_greeted_before_anything_else(running: World) -> None:
    """It lets nobody in before it knows what there is to know."""
    running.crew.turn_over()
    await until(lambda: all(len(hand.heard) == 2 for hand in running.hands))

    assert [hand.heard for hand in running.hands] == [[Begin(), TurnOver()]] * 2


async def test_a_worker_that_dies_is_missed_and_comes_back(running: World) -> None:
    """The others are not touched; while it is away the edge says so."""
    dead = running.hands[0]
    dead.send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 3 and running.hands[2].heard)

    assert running.hands[2].number == dead.number
    assert running.crew.reasons() == {"workers": f"not serving: {dead.number} of 2; the others do"}
    running.hands[2].tell(Serving())
    await until(lambda: not running.crew.reasons())
    assert not running.hands[1].gone.is_set()


async def test_the_pause_grows_while_a_worker_cannot_live(running: World) -> None:
    """Also when it cannot even be started; it never takes the parent's time away."""
    running.refusals = 2
    running.hands[0].send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 3 and running.hands[2].heard)
    running.hands[2].send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 4)

    assert running.clock.slept == [0.5, 1.0, 2.0, 2.0]


async def test_a_dead_worker_s_streams_are_not_touched_again(running: World) -> None:
    """The same as after any failure: litestream ends; what was counted stays counted."""
    hand, news = running.hands[0], running.bell.hear()
    hand.tell(Opened(STREAM))
    hand.tell(Counts(((*ACCEPTED, 4.0),)))
    await until(lambda: value(running.summed, *ACCEPTED) == 5)
    hand.send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 3)

    assert running.keeper.told == [("opened", STREAM), ("failed", STREAM)]
    assert value(running.summed, *ACCEPTED) == 5
    assert news.is_set()


async def test_a_stream_closes_when_litestream_has_let_go(running: World) -> None:
    """The one who asked hears it; a stream once closed is nobody's when the worker dies."""
    hand = running.hands[1]
    hand.tell(Opened(STREAM))
    hand.tell(Closing(STREAM))
    await until(lambda: Released(STREAM) in hand.heard)
    hand.send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 3)

    assert running.keeper.told == [("opened", STREAM), ("closing", STREAM)]
    assert Released(STREAM) not in running.hands[0].heard


async def test_a_stream_that_failed_is_told_once(running: World) -> None:
    """Its worker lives on, with another."""
    running.hands[0].tell(Opened(STREAM))
    running.hands[0].tell(Failed(STREAM))
    await until(lambda: len(running.keeper.told) == 2)

    assert running.keeper.told == [("opened", STREAM), ("failed", STREAM)]


async def test_any_worker_s_commit_wakes_who_waits(running: World) -> None:
    """An aggregator asks the parent, whoever wrote."""
    for hand in running.hands:
        news = running.bell.hear()
        hand.tell(Committed())
        await until(news.is_set)


async def test_the_end_is_told_and_waited_for(running: World) -> None:
    """Everybody finishes what was accepted; nobody is started again."""
    await running.crew.close()

    assert [hand.heard[-1] for hand in running.hands] == [End(), End()]
    assert [hand.status for hand in running.hands] == [0, 0]
    assert len(running.hands) == 2


async def test_the_end_does_not_wait_for_a_pause(running: World) -> None:
    """Whoever would have come back need not come any more."""
    running.clock.long = True
    running.hands[0].send_signal(signal.SIGKILL)
    await until(lambda: running.clock.slept)
    await running.crew.close()

    assert running.hands[1].heard[-1] == End()
    assert len(running.hands) == 2


async def test_a_worker_that_hears_nothing_is_replaced(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it missed cannot be told later: the next one hears everything."""
    monkeypatch.setattr(Pipe, "tell_all", lambda *_, **__: False)
    worker = next(iter(running.crew._workers))
    assert isinstance(worker, Worker)
    worker.tell((TurnOver(),))
    monkeypatch.undo()

    await until(lambda: len(running.hands) == 3 and running.hands[2].heard)
    assert running.hands[0].status == -signal.SIGKILL


async def test_a_worker_that_serves_and_says_nothing_is_replaced(running: World) -> None:
    """It hangs; but one silent look may be the parent's own fault."""
    busy, hung = running.hands
    await running.crew.look()  # they have just told that they serve
    for _ in range(SILENT_LOOKS_MAX):
        assert not hung.gone.is_set()
        busy.tell(Committed())
        await until(running.bell.hear().is_set)
        await running.crew.look()

    await until(lambda: len(running.hands) == 3)
    assert hung.status == -signal.SIGKILL
    assert not busy.gone.is_set()


async def test_a_worker_that_is_not_yet_serving_may_be_silent(running: World) -> None:
    """It may be waiting for a slow disk."""
    running.hands[0].send_signal(signal.SIGKILL)
    await until(lambda: len(running.hands) == 3 and running.hands[2].heard)
    for _ in range(SILENT_LOOKS_MAX + 2):
        running.hands[1].tell(Committed())
        await until(running.bell.hear().is_set)
        await running.crew.look()

    assert not running.hands[2].gone.is_set()
