"""Start the aggregator: read the settings, open what it needs, run until told to stop."""

import contextlib
import os

import aiohttp

from aggregator.config import Config
from aggregator.discovery.keeper import SOURCES_MAX
from aggregator.discovery.names import Names, PrivateResolver
from aggregator.fencing.fence import Fence
from aggregator.parts import Ground, Parts
from aggregator.store import SECURE_DELETE
from milepost.client import new_session
from milepost.clock import SystemClock, system_entropy
from milepost.database import QueryReaders, Readers, Writer, open_database
from milepost.service import listen, run_service, run_until_told, sole_holder
from milepost.tokens import TokenBook

READERS = 4
QUERY_READERS = 4  # so many questions of callers at the same time
OTHER_CONNECTIONS = 50  # to the key server


async def main(config: Config) -> None:
    """Run the aggregator."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "lock", f"the folder {config.data}"))
        tokens = TokenBook.load(config.tokens_file)
        parts = Parts(config, await _ground(stack, config))
        schedule = await parts.schedule()
        await listen(stack, parts.app(tokens), config.private)
        await run_until_told([schedule.run(), *parts.loops()])


async def _ground(stack: contextlib.AsyncExitStack, config: Config) -> Ground:
    clock = SystemClock()
    writer, readers, queries = await _open_database(stack, config)
    fence = await Fence.claim(
        config.database,
        writer,
        readers,
        machine=config.machine,
        clock=clock,
        entropy=system_entropy,
    )
    names = Names(config.dns) if config.where or config.dns else None
    session = await stack.enter_async_context(_session(names))
    return Ground(
        clock=clock,
        writer=writer,
        readers=readers,
        queries=queries,
        fence=fence,
        names=names,
        session=session,
    )


def _session(names: Names | None) -> aiohttp.ClientSession:
    """Return a session that knows the private names, and has a connection for each source."""
    resolver = PrivateResolver(names, aiohttp.DefaultResolver()) if names else None
    return new_session(resolver=resolver, connections=SOURCES_MAX + OTHER_CONNECTIONS)


async def _open_database(
    stack: contextlib.AsyncExitStack, config: Config
) -> tuple[Writer, Readers, QueryReaders]:
    replicated = bool(config.litestream_socket)
    connection = open_database(config.database, "combined")
    connection.execute(SECURE_DELETE)
    writer = Writer(connection, checkpoints=not replicated)
    readers = await Readers.open(config.database, READERS)
    queries = await QueryReaders.open(config.database, QUERY_READERS)
    # The last to close checkpoints, unless it can only read: then litestream alone does.
    reading = (queries.close, readers.close)
    closing = (*reading, writer.close) if replicated else (writer.close, *reading)
    for close in closing:
        stack.push_async_callback(close)
    return writer, readers, queries


if __name__ == "__main__":
    raise SystemExit(run_service("aggregator", Config.from_env, main, os.environ))
