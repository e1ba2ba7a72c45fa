"""The parent's side: start the workers, again whenever one dies, and end them in order.

A worker that dies takes nobody with it: the others serve the port, and what it
wrote is handed over like the streams of any dead process.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from milepost.backoff import Backoff
from milepost.clock import Clock
from milepost.health import Reasons
from milepost.logs import get_log
from regional_logger.workers.messages import End, Message, TurnOver
from regional_logger.workers.pipe import Pipe

log = get_log(__name__)

END_SECONDS_MAX = 14.0  # a worker allows itself about 12
LAST_SECONDS_MAX = 5.0  # between a worker's last word and its end
LOOK_SECONDS = 10.0  # a worker that serves tells its counts every second
SILENT_LOOKS_MAX = 2  # one may fall into a time in which nobody ran, not even the parent
PATIENT = Backoff()


class Office(Protocol):
    """Who deals with what workers tell."""

    def greeting(self) -> Sequence[Message]:
        """Return the first words to a worker."""

    def hear(self, worker: "Worker", message: Message) -> None:
        """Deal with what *worker* told."""

    async def bury(self, worker: "Worker") -> None:
        """Deal with what *worker* left."""


Spawn = Callable[[int, socket.socket], Awaitable[asyncio.subprocess.Process]]


async def spawn(number: int, end: socket.socket) -> asyncio.subprocess.Process:
    """Start worker *number* with its end of the pipe as standard input."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "regional_logger", "worker", str(number), stdin=end.fileno()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms workers are kept."""

    office: Office
    clock: Clock
    backoff: Backoff = PATIENT
    spawn: Spawn = spawn


class Worker:
    """One place at the port, and whoever fills it."""

    def __init__(self, number: int, terms: Terms) -> None:
        self.number = number
        self.serving = False
        self.resting = False  # between two processes
        self.pid: int | None = None
        self._terms = terms
        self._heard = False  # since the last look
        self._silent_looks = 0
        self._ending = False
        self._pipe: Pipe | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Keep a process in this place until told to end."""
        pause = 0.0
        while not self._ending:
            begun = time.monotonic()
            try:
                status = await self._run()
            except OSError as error:  # no memory or no descriptors left: may pass
                log.warning("worker.not_started", worker=self.number, reason=error.strerror)
            else:
                log.info("worker.ended", worker=self.number, status=status)
            if self._ending:
                return
            pause = self._terms.backoff.after(pause, time.monotonic() - begun)
            log.warning("worker.missing", worker=self.number, back_in_seconds=pause)
            self.resting = True
            await self._terms.clock.sleep(pause)
            self.resting = False

    def tell(self, messages: Iterable[Message]) -> None:
        """Tell *messages*; a worker too far behind to hear them is replaced by one that is not."""
        if self._pipe is not None and not self._pipe.tell_all(messages):
            log.error("worker.behind", worker=self.number)
            self.signal(signal.SIGKILL)

    def look(self) -> None:
        """End a process that hangs: its visitors wait for nobody."""
        self._silent_looks = 0 if self._heard or not self.serving else self._silent_looks + 1
        self._heard = False
        if self._silent_looks >= SILENT_LOOKS_MAX:
            log.error("worker.silent", worker=self.number, pid=self.pid)
            self.signal(signal.SIGKILL)

    def end(self) -> None:
        """Ask the process to finish, and fill the place no more."""
        self._ending = True
        if self._pipe is not None:
            self._pipe.tell(End())

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if there is one."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await self._terms.spawn(self.number, theirs)
        except OSError:
            ours.close()
            raise
        self.pid = self._process.pid
        log.info("worker.started", worker=self.number, pid=self.pid)
        self._pipe = await Pipe.over(ours)
        try:
            self._pipe.tell_all(self._terms.office.greeting())
            if self._ending:  # while it was being started
                self._pipe.tell(End())
            async for message in self._pipe.messages():
                self._heard = True
                self._terms.office.hear(self, message)
            return await self._last_status(self._process)
        finally:
            await self._leave()

    async def _last_status(self, process: asyncio.subprocess.Process) -> int:
        """Return how *process*, which tells nothing any more, has ended; it is of no other use."""
        self.serving = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS_MAX):
                return await process.wait()
        self.signal(signal.SIGKILL)
        return await process.wait()

    async def _leave(self) -> None:
        pipe, self._pipe = self._pipe, None
        self.serving, self.pid, self._process = False, None, None
        if pipe is not None:
            await pipe.close()
        await self._terms.office.bury(self)


class Crew:
    """All workers."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: tuple[Worker, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, terms: Terms) -> None:
        """Fill every place."""
        self._workers = tuple(Worker(number, terms) for number in range(1, self._size + 1))
        self._tasks = [asyncio.create_task(worker.keep()) for worker in self._workers]

    async def watch(self) -> None:
        """Wait for ever; raise what ended the keeping of a worker, for nothing may."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def look(self) -> None:
        """Look after every worker."""
        for worker in self._workers:
            worker.look()

    def tell(self, messages: Iterable[Message]) -> None:
        """Tell every worker *messages*, which each goes through on its own."""
        for worker in self._workers:
            worker.tell(messages)

    def turn_over(self) -> None:
        """Have every worker close its open stream and begin the next."""
        self.tell((TurnOver(),))

    def reasons(self) -> Reasons:
        """Return what keeps the crew from being whole."""
        missing = [str(worker.number) for worker in self._workers if not worker.serving]
        if not missing:
            return {}
        return {"workers": f"not serving: {', '.join(missing)} of {self._size}; the others do"}

    async def close(self) -> None:
        """Have everybody finish; kill who takes too long."""
        for worker, task in zip(self._workers, self._tasks, strict=True):
            worker.end()
            if worker.resting:
                task.cancel()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=END_SECONDS_MAX)
        if late:
            log.error("worker.killed", workers=len(late))
        for worker in self._workers:
            worker.signal(signal.SIGKILL)
        await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
