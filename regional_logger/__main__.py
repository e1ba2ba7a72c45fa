"""The edge: where its parts are put together."""

import contextlib
import os
import resource
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from milepost.batch import ID_BYTES
from milepost.client import Client
from milepost.clock import SystemClock, system_entropy
from milepost.health import Reasons
from milepost.litestream import Litestream
from milepost.loops import repeat
from milepost.service import listen, run_service, run_until_told, sole_holder
from milepost.tokens import TokenBook
from milepost.vocabulary import LifeId
from regional_logger.app import private_app
from regional_logger.bell import Bell
from regional_logger.config import Config
from regional_logger.door import Door
from regional_logger.handover import Handover, Source
from regional_logger.journal import Journal, Limits
from regional_logger.keyring import Keyring
from regional_logger.keys import KeyFollower
from regional_logger.links.feed import FeedFollower
from regional_logger.links.store import ReplicaStore
from regional_logger.links.table import LinkTable
from regional_logger.meter import LifeInfo, Meter
from regional_logger.pressure import Pressure
from regional_logger.readers import ReaderBook
from regional_logger.replication import StreamKeeper
from regional_logger.retire import Retirement, remove_stillborn
from regional_logger.shelf import Shelf
from regional_logger.stream import Origin

CLOCK = SystemClock()
BACKOFF_SECONDS_MAX = 10.0
RETIRE_SECONDS, PRESSURE_SECONDS = 60.0, 1.0
DESCRIPTORS_KEPT = 512


async def main(config: Config) -> None:
    """Run one edge."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "edge.lock", f"the folder {config.data}"))
        folder = config.data / "log"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_stillborn(folder)
        keyring, bell = Keyring(), Bell()
        litestream = (
            Litestream(Path(config.litestream_socket), config.replica_url)
            if config.litestream_socket
            else None
        )
        keys = await _key_follower(stack, config, keyring)
        feed, table = await _feed_follower(stack, config)
        journal = await _journal(stack, config, keyring=keyring, bell=bell, litestream=litestream)
        shelf = Shelf(folder)
        stack.push_async_callback(shelf.close)
        handover = Handover(
            Source(config.region, config.machine),
            shelf=shelf,
            readers=ReaderBook(folder),
            bell=bell,
            clock=CLOCK,
        )
        private = private_app(
            tokens=TokenBook.load(config.tokens_file),
            handover=handover,
            reasons=lambda: _reasons(keyring, feed),
            entropy=system_entropy,
        )
        await listen(stack, private, config.private)
        await listen(stack, _door(config, table, keyring, journal).server(), config.public)
        stack.callback(bell.close)
        retirement = Retirement(shelf, CLOCK, config.log_keep_ms)
        pressure = Pressure(
            folder,
            journal=journal,
            retirement=retirement,
            clock=CLOCK,
            high_ratio=config.disk_high_ratio,
        )
        loops = [
            journal.watch(),
            repeat(CLOCK, RETIRE_SECONDS, "retire", retirement.step),
            repeat(CLOCK, PRESSURE_SECONDS, "disk", pressure.step),
            *_followers(keys, feed, litestream),
        ]
        await run_until_told(loops)


def _followers(
    keys: KeyFollower, feed: FeedFollower, litestream: Litestream | None
) -> list[Coroutine[Any, Any, None]]:
    backoff = BACKOFF_SECONDS_MAX
    loops = [
        repeat(CLOCK, 0.2, "keys.list", keys.follow_list, backoff_seconds_max=backoff),
        repeat(CLOCK, 0.2, "keys.salts", keys.follow_salts, backoff_seconds_max=backoff),
        repeat(CLOCK, 0.5, "feed", feed.follow, backoff_seconds_max=backoff),
    ]
    if litestream is not None:
        loops.append(
            repeat(CLOCK, 1.0, "litestream", litestream.assert_held, backoff_seconds_max=5.0)
        )
    return loops


async def _key_follower(
    stack: contextlib.AsyncExitStack, config: Config, keyring: Keyring
) -> KeyFollower:
    client = await stack.enter_async_context(Client.connect(config.keys_url, config.token))
    follower = KeyFollower(
        client,
        keyring,
        identity=config.keys_identity,
        cache=config.data / "epochs.json",
        clock=CLOCK,
    )
    follower.load_cache()
    return follower


async def _feed_follower(
    stack: contextlib.AsyncExitStack, config: Config
) -> tuple[FeedFollower, LinkTable]:
    client = await stack.enter_async_context(Client.connect(config.links_url, config.token))
    store = ReplicaStore.open(config.data / "links.db")
    stack.push_async_callback(store.close)
    table = LinkTable()
    follower = FeedFollower(client, store, table, CLOCK)
    await follower.load()
    return follower, table


async def _journal(
    stack: contextlib.AsyncExitStack,
    config: Config,
    *,
    keyring: Keyring,
    bell: Bell,
    litestream: Litestream | None,
) -> Journal:
    folder = config.data / "log"
    life = LifeInfo(LifeId(system_entropy(ID_BYTES)), 0, CLOCK.now())
    meter = Meter(folder, life)
    stack.callback(meter.close)
    journal = Journal(
        Origin(
            folder=folder,
            life=life,
            region=config.region,
            machine=config.machine,
            token=config.token,
        ),
        meter=meter,
        keyring=keyring,
        limits=Limits(
            budget_seconds=config.accept_budget_seconds if config.durable else 0.0,
            queue_records_max=config.queue_records_max,
            queue_bytes_max=config.queue_bytes_max,
            batch_records_max=config.batch_records_max,
            stream_bytes_max=config.stream_bytes_max,
            stream_age_ms_max=config.stream_age_ms_max,
        ),
        bell=bell,
        clock=CLOCK,
        entropy=system_entropy,
        keeper=StreamKeeper(litestream, config.region, config.machine),
    )
    stack.push_async_callback(journal.close)
    await journal.start()
    return journal


def _door(config: Config, table: LinkTable, keyring: Keyring, journal: Journal) -> Door:
    return Door(
        region=config.region,
        find_link=table.find,
        keyring=keyring,
        journal=journal,
        clock=CLOCK,
        addresses=config.addresses,
        client_ip=config.client_ip,
        connections_max=connections_max(),
    )


def connections_max() -> int:
    """Return how many visitors may be connected, so that descriptors are left for the log."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft // 2, soft - DESCRIPTORS_KEPT)


def _reasons(keyring: Keyring, feed: FeedFollower) -> Reasons:
    reasons = {}
    if keyring.listed is None:
        reasons["keys"] = "no list of epochs yet: records wait in memory"
    if not feed.synced:
        reasons["links"] = "no links yet: only prefix redirects are answered"
    return reasons


if __name__ == "__main__":
    raise SystemExit(run_service("edge", Config.from_env, main, os.environ, runner=uvloop.run))
