"""Running a service: listeners, loops, signals, and an orderly end.

A composition root hands its `main` to `run_service`.  `main` opens what it
needs on an exit stack, ends with `run_until_told`, and the stack then closes
everything in reverse: listeners first, so that what was accepted is finished
before the databases close.
"""

import asyncio
import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeVar

from aiohttp import web

from milepost.config import EnvReader, Listener
from milepost.errors import ConfigError, ServiceError
from milepost.http import quiet_server_logger
from milepost.logs import get_log, set_up_logging
from milepost.sqlite import require_safe_sqlite

log = get_log(__name__)

DRAIN_SECONDS = 10.0
COLLECT_EVERY_OBJECTS = 20_000
KEEPALIVE_SECONDS = 30.0
FAILED_STATUS, CONFIG_STATUS = 1, 2
CHECK = "check"  # as the only word behind `python -m <service>`: read the settings, and end

# What Fly.io tells of a machine.
PLATFORM_NAMES = {"MILEPOST_REGION": "FLY_REGION", "MILEPOST_MACHINE": "FLY_MACHINE_ID"}

C = TypeVar("C")
Loop = Coroutine[Any, Any, None]


def run_service(
    name: str,
    read_config: Callable[[Mapping[str, str]], C],
    main: Callable[[C], Coroutine[Any, Any, None]],
    env: Mapping[str, str],
    runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> int:
    """Run *main* until it ends, or only check its settings; return the process's exit status."""
    env = with_platform_names(env)
    try:
        require_safe_sqlite()
        limit_resources()
        config = read_config(env)
        if sys.argv[1:] == [CHECK]:
            return 0
        with EnvReader(env) as read:
            level, region = read.text("LOG_LEVEL"), read.text("REGION")
        set_up_logging(name, level, region=region)
        runner(main(config))
    except ConfigError as error:
        sys.stderr.write(f"milepost {name}: {error}\n")
        return CONFIG_STATUS
    except ServiceError as error:  # nothing that a loop may go on after: it ended the service
        log.critical("service.failed", code=error.code, reason=str(error))
        return FAILED_STATUS
    return 0


def limit_resources() -> None:
    """Leave no core file, which would hold salts and keys; allow all descriptors there are."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def with_platform_names(env: Mapping[str, str]) -> dict[str, str]:
    """Fill region and machine from what Fly.io tells, unless they are given."""
    filled = dict(env)
    for ours, theirs in PLATFORM_NAMES.items():
        if not filled.get(ours) and filled.get(theirs):
            filled[ours] = filled[theirs]
    return filled


async def run_until_told(loops: Iterable[Loop]) -> None:
    """Run *loops* until SIGTERM or SIGINT; a loop that fails ends the process."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    tasks = [asyncio.create_task(work) for work in loops]
    waiter = asyncio.create_task(told.wait())
    _spare_the_collector()
    log.info("service.started", pid=os.getpid())
    done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in (waiter, *tasks):
        task.cancel()
    await asyncio.gather(waiter, *tasks, return_exceptions=True)
    for task in done - {waiter}:
        task.result()  # raises what ended it
    log.info("service.draining")


def _spare_the_collector() -> None:
    """Have the garbage collector walk what is made from now on, and that less often.

    What a service is made of lives as long as the process; what requests make
    hangs together in no circle, so looking for those at every step is wasted.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY_OBJECTS, 10, 10)


async def listen(
    stack: contextlib.AsyncExitStack,
    server: web.Application | web.Server,
    where: Iterable[Listener],
    *,
    shared: bool = False,
) -> None:
    """Serve *server* on every listener until *stack* closes.

    With *shared*, other processes may serve the same ports: the kernel deals connections out.
    """
    runner: web.BaseRunner
    if isinstance(server, web.Application):
        runner = web.AppRunner(
            server,
            access_log=None,
            logger=quiet_server_logger(),
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=DRAIN_SECONDS,
            auto_decompress=False,  # no body of ours is compressed
        )
    else:
        runner = web.ServerRunner(server, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    for listener in where:
        try:
            await web.TCPSite(
                runner, listener.host, listener.port, reuse_port=shared or None
            ).start()
        except OSError as error:
            raise ConfigError(_cannot_listen(listener, error)) from error
        log.info("listener.opened", listener=str(listener))


def reserve(
    stack: contextlib.ExitStack | contextlib.AsyncExitStack, where: Iterable[Listener]
) -> None:
    """Hold every listener's port for processes of this user that share it, until *stack* closes.

    What is only bound gets no connection; but a port that is taken is told at once.
    """
    for listener in where:
        try:
            for family, kind, _, _, address in socket.getaddrinfo(
                listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                holder = stack.enter_context(socket.socket(family, kind))
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                holder.bind(address)
        except OSError as error:
            raise ConfigError(_cannot_listen(listener, error)) from error


def _cannot_listen(listener: Listener, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        place = f"port {listener.port} on {listener.host}"
        return f"{place} is in use; stop what holds it or choose another"
    return f"cannot listen on {listener}: {error.strerror}"


def _lock_file(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        msg = f"{path.parent}: {error.strerror}; set MILEPOST_DATA to a folder that can be written"
        raise ConfigError(msg) from error


@contextlib.contextmanager
def sole_holder(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file *path* or refuse: *what* allows one process at a time."""
    with _lock_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = f"{what} is in use by another process (it holds {path})"
            raise ConfigError(msg) from error
        yield
