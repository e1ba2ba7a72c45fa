"""One process that is kept running until it is told to end."""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from milepost.backoff import Backoff
from milepost.dev.plan import Process, Stage
from milepost.dev.tether import tethered
from milepost.errors import ConfigError
from milepost.service import CONFIG_STATUS

LOG_BYTES_MAX = 10 << 20
LAST_WORDS_BYTES_MAX = 4_096
DRAIN_SECONDS_MAX = 15.0  # a service allows itself 10
SOCKET_SECONDS_MAX = 5.0  # after its start a process has made its socket
NOT_STARTED = 127
PATIENT = Backoff()

Tell = Callable[[str], None]

# How `run_service` says what is wrong; who says it, people are told already.
_SENTENCE = re.compile(r"^milepost \w+: (\S.*)$", re.MULTILINE)


class Child:
    """Starts *process*, and again whenever it dies; *changed* hears of every birth and death."""

    def __init__(
        self,
        process: Process,
        *,
        changed: Callable[[], None],
        tell: Tell,
        inherits: tuple[int, ...] = (),
        backoff: Backoff = PATIENT,
    ) -> None:
        self.process = process
        self.pid: int | None = None
        self.starts = 0
        self._begun = 0.0
        self._changed, self._tell = changed, tell
        self._inherits, self._backoff = inherits, backoff
        self._told = asyncio.Event()
        self._ended = asyncio.Event()
        self._running: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Keep the process running until `stop` or `kill`.

        Raise ConfigError when its very first run finds its configuration wrong:
        starting it again would not help.
        """
        pause = 0.0
        try:
            while not self._told.is_set():
                self._begun = time.monotonic()
                log_size = rotate(self.process.log)
                status = await self._run()
                if self._told.is_set():
                    return
                self._refuse_bad_configuration(status, log_size)
                pause = self._backoff.after(pause, time.monotonic() - self._begun)
                self._tell(ended_line(self.process.name, status, pause))
                await self._wait(pause)
        finally:
            self._ended.set()

    async def stop(self, seconds_max: float = DRAIN_SECONDS_MAX) -> None:
        """Ask the process to end, and kill it when it takes longer than *seconds_max*."""
        self._told.set()
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds_max):
                await self._ended.wait()
        except TimeoutError:
            self._tell(f"{self.process.name} did not end in {seconds_max:g} s: killed")
            self.kill()
            await self._ended.wait()

    def end_if_unreachable(self) -> None:
        """End a process whose control socket is gone: it runs, and nobody can tell it anything."""
        control = self.process.socket
        old_enough = time.monotonic() - self._begun > SOCKET_SECONDS_MAX
        if control is not None and self.pid is not None and old_enough and not control.exists():
            self._tell(f"{self.process.name} has lost its control socket")
            self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the process now, and for good."""
        self._told.set()
        self._signal(signal.SIGKILL)

    async def _run(self) -> int:
        if self.process.socket is not None:
            self.process.socket.unlink(missing_ok=True)
        try:
            self._running = await self._start()
        except OSError:  # no memory or no descriptors left: may pass
            return NOT_STARTED
        self.starts += 1
        self.pid = self._running.pid
        self._changed()
        if self._told.is_set():  # while it was being started
            self._signal(signal.SIGTERM)
        status = await self._running.wait()
        self._running = self.pid = None
        self._changed()
        return status

    async def _start(self) -> asyncio.subprocess.Process:
        with self.process.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *tethered(*self.process.command),
                env=self.process.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._inherits,
                # Ctrl-C in a terminal goes to a whole group: only `milepost dev` shall hear it,
                # so that it can stop the others in order.
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        if self._running is not None:
            with contextlib.suppress(ProcessLookupError):
                self._running.send_signal(number)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()

    def _refuse_bad_configuration(self, status: int, log_size: int) -> None:
        service = self.process.stage is not Stage.LITESTREAM  # whose 2 is a crash
        if self.starts == 1 and status == CONFIG_STATUS and service:
            words = last_words(self.process.log, log_size) or "its configuration is wrong"
            msg = f"{self.process.name} does not start: {words}"
            raise ConfigError(msg)


def rotate(log: Path) -> int:
    """Put a *log* that has grown large aside; return the size of what remains."""
    try:
        size = log.stat().st_size
        if size <= LOG_BYTES_MAX:
            return size
        log.replace(log.with_name(f"{log.name}.1"))
    except OSError:  # not there yet
        pass
    return 0


def last_words(log: Path, begin: int) -> str:
    """Return why the process ended, by what it wrote to *log* after *begin*."""
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(begin, end - LAST_WORDS_BYTES_MAX))
            return sentence_in(file.read())
    except OSError:
        return ""


def sentence_in(output: bytes) -> str:
    """Return the sentence with which a service ended, else the last line that it wrote."""
    text = output.decode("utf-8", "replace").strip()
    sentences: list[str] = _SENTENCE.findall(text)
    return (sentences or [text.rpartition("\n")[2]])[-1].strip()


def ended_line(name: str, status: int, pause: float) -> str:
    """Say that process *name* ended and when it is back."""
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"{name} {how}; starting it again in {pause:g} s"
