"""A worker: visitors and their streams, and nothing else."""

import contextlib
import os
import socket
import sys

import structlog

from milepost.errors import ConfigError
from milepost.loops import repeat
from milepost.service import listen, run_until_told
from milepost.tie import tie
from regional_logger import parts
from regional_logger.config import Config
from regional_logger.entrance import entrance_of
from regional_logger.keyring import Keyring
from regional_logger.parts import BACKOFF_SECONDS_MAX, CLOCK
from regional_logger.workers.links import FarLinks
from regional_logger.workers.messages import Counts, Serving
from regional_logger.workers.pipe import Pipe
from regional_logger.workers.sums import own_samples
from regional_logger.workers.worker import Ear, FarBell, FarKeeper

TELL_SECONDS = 1.0


async def main(config: Config, number: int) -> None:
    """Run worker *number* of the edge at the other end of standard input."""
    structlog.contextvars.bind_contextvars(worker=number)
    if not tie(os.getppid()):
        return
    async with contextlib.AsyncExitStack() as stack:
        pipe = await _pipe_to_the_parent()
        stack.push_async_callback(pipe.close)
        keyring, bell = Keyring(), FarBell(pipe)
        links = parts.local_links(stack, config)
        far_links = FarLinks(links, CLOCK)
        stack.push_async_callback(far_links.close)
        keeper = FarKeeper(pipe, replicates=bool(config.litestream_socket))
        ear = Ear(
            pipe,
            keyring=keyring,
            links=far_links,
            keeper=keeper,
            identity=config.keys_identity,
            clock=CLOCK,
        )
        stack.push_async_callback(ear.close)

        async def tell_counts() -> None:
            keyring.drop_ended(CLOCK.now())  # also while the parent is busy
            pipe.mention(Counts(own_samples()))

        stack.push_async_callback(tell_counts)
        journal = await parts.journal_of(
            stack, config, worker=number, keyring=keyring, bell=bell, keeper=keeper
        )
        ear.start(journal.turn_over)
        if not await ear.begun():
            return
        entrance = await entrance_of(config, links=links, keyring=keyring, journal=journal)
        await listen(stack, entrance.door.server(), config.public, shared=True)
        pipe.tell(Serving())
        loops = [
            journal.watch(),
            *entrance.loops,
            ear.until_end(),
            repeat(CLOCK, TELL_SECONDS, "counts", tell_counts),
            repeat(
                CLOCK,
                parts.LINKS_SECONDS,
                "links.warm",
                links.warm,
                backoff_seconds_max=BACKOFF_SECONDS_MAX,
            ),
        ]
        await run_until_told(loops)


async def _pipe_to_the_parent() -> Pipe:
    try:
        return await Pipe.over(socket.socket(fileno=sys.stdin.fileno()))
    except OSError as error:
        msg = "a worker is started by its edge, with MILEPOST_WORKERS, and not by itself"
        raise ConfigError(msg) from error
