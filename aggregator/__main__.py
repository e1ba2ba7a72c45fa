"""Start the aggregator: read the settings, open what it needs, run until told to stop."""

import contextlib
import os
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from aggregator.app import build_app
from aggregator.config import Config
from aggregator.discovery.finding import Finder
from aggregator.discovery.keeper import SOURCES_MAX, Keeper
from aggregator.discovery.names import Names, PrivateResolver
from aggregator.discovery.sources import Sources
from aggregator.discovery.store import SourceStore
from aggregator.fencing.fence import MARK_SECONDS, Fence
from aggregator.hashes.asking import HashAsker
from aggregator.hashes.store import HashStore
from aggregator.opening.keyring import Keyring
from aggregator.opening.late import LateOpener
from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Replica, Safe
from aggregator.reconciling.reckoner import Reckoner
from aggregator.replicas.access import Access
from aggregator.replicas.objects import Objects
from aggregator.replicas.restoring import Restorer
from aggregator.replicas.store import ReplicaStore
from aggregator.replicas.sweeping import Sweeper
from aggregator.replicas.taking import CopyTaker
from aggregator.store import Store
from milepost.client import Client, new_session
from milepost.clock import SystemClock, system_entropy
from milepost.database import Readers, Writer, open_database
from milepost.litestream import Litestream
from milepost.loops import repeat
from milepost.schedule import Schedule
from milepost.service import listen, run_service, run_until_told, sole_holder
from milepost.tokens import TokenBook

READERS = 4
OTHER_CONNECTIONS = 50  # to the key server
KEYS_SECONDS, REPLICATE_SECONDS, HOLD_SECONDS, BACKOFF_SECONDS_MAX = 1.0, 1.0, 1.0, 5.0

Loop = Coroutine[Any, Any, None]


async def main(config: Config) -> None:
    """Run the aggregator."""
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "lock", f"the folder {config.data}"))
        tokens = TokenBook.load(config.tokens_file)
        litestream = _litestream(config)
        writer, readers = await _open_database(stack, config)
        fence = await _claim(config, writer, readers, clock)
        store = Store(writer, readers)
        names = Names(config.dns) if config.where or config.dns else None
        session = await stack.enter_async_context(_session(names))
        keys_client = Client(session, config.keys_url, config.token)
        keyring = Keyring(keys_client, config.keys_identity, clock)
        safe = Safe(store, Replica(litestream, config.database) if litestream else None)
        intake = Intake(store, keyring, clock)
        pulling = partial(
            Puller,
            store=store,
            fence=fence,
            intake=intake,
            safe=safe,
            clock=clock,
            entropy=system_entropy,
        )
        schedule = Schedule(clock)
        schedule.add("waiting", LateOpener(store, keyring).step)
        hashes = HashStore(writer, readers)
        asker = HashAsker(keys_client, hashes, keyring, clock, system_entropy)
        schedule.add("hashes", asker.step)
        sources = Sources()
        keeper = Keeper(
            listed=config.sources,
            finder=Finder(names, config.where) if names and config.where else None,
            sources=sources,
            store=SourceStore(writer, readers),
            schedule=schedule,
            clock=clock,
            hire=lambda url: pulling(Client(session, url, config.token)),
        )
        await keeper.begin()
        schedule.add("discover", keeper.step)
        sweeper = _sweeper(config, CopyTaker(store, intake), ReplicaStore(writer, readers), sources)
        if sweeper is not None:
            schedule.add("replicas", sweeper.step)
        reckoner = Reckoner(readers, sweeps=sweeper is not None)
        schedule.add("reconcile", reckoner.step)
        app = build_app(
            tokens=tokens,
            readers=readers,
            store=store,
            keyring=keyring,
            sources=sources,
            reckoner=reckoner,
            clock=clock,
            entropy=system_entropy,
            sweeper=sweeper,
        )
        await listen(stack, app, config.private)
        loops = [
            schedule.run(),
            repeat(clock, KEYS_SECONDS, "keys", keyring.watch),
            repeat(clock, MARK_SECONDS, "mark", fence.mark),
        ]
        await run_until_told([*loops, *_replication(litestream, safe, clock)])


def _session(names: Names | None) -> aiohttp.ClientSession:
    """Return a session that knows the private names, and has a connection for each source."""
    resolver = PrivateResolver(names, aiohttp.DefaultResolver()) if names else None
    return new_session(resolver=resolver, connections=SOURCES_MAX + OTHER_CONNECTIONS)


def _litestream(config: Config) -> Litestream | None:
    if not config.litestream_socket:
        return None
    litestream = Litestream(Path(config.litestream_socket), config.replica_url)
    litestream.hold(config.database, "combined")
    return litestream


def _sweeper(
    config: Config, taker: CopyTaker, store: ReplicaStore, sources: Sources
) -> Sweeper | None:
    """Return what sweeps the object store; without one there is nothing that was lost."""
    if not config.replica_url:
        return None
    access = Access(config.replica_url, config.store_env)
    restorer = Restorer(access, config.litestream, config.scratch)
    restorer.clear()
    return Sweeper(
        Objects(access),
        restorer=restorer,
        taker=taker,
        store=store,
        pullers=sources,
        clock=SystemClock(),
    )


def _replication(litestream: Litestream | None, safe: Safe, clock: SystemClock) -> list[Loop]:
    if litestream is None:
        return []
    return [
        repeat(clock, seconds, name, step, backoff_seconds_max=BACKOFF_SECONDS_MAX)
        for seconds, name, step in (
            (HOLD_SECONDS, "litestream", litestream.assert_held),
            (REPLICATE_SECONDS, "replicate", safe.replicate),
        )
    ]


async def _open_database(
    stack: contextlib.AsyncExitStack, config: Config
) -> tuple[Writer, Readers]:
    replicated = bool(config.litestream_socket)
    writer = Writer(open_database(config.database, "combined"), checkpoints=not replicated)
    readers = await Readers.open(config.database, READERS)
    # The last to close checkpoints, unless it can only read: then litestream alone does.
    closing = (readers.close, writer.close) if replicated else (writer.close, readers.close)
    for close in closing:
        stack.push_async_callback(close)
    return writer, readers


async def _claim(config: Config, writer: Writer, readers: Readers, clock: SystemClock) -> Fence:
    return await Fence.claim(
        config.database,
        writer,
        readers,
        machine=config.machine,
        clock=clock,
        entropy=system_entropy,
    )


if __name__ == "__main__":
    raise SystemExit(run_service("aggregator", Config.from_env, main, os.environ))
