"""Start the aggregator: read the settings, open what it needs, run until told to stop."""

import contextlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from aggregator.app import build_app
from aggregator.config import Config
from aggregator.hashes.asking import HashAsker
from aggregator.hashes.store import HashStore
from aggregator.opening.keyring import Keyring
from aggregator.opening.late import LateOpener
from aggregator.pulling.intake import Intake
from aggregator.pulling.puller import Puller
from aggregator.pulling.safe import Replica, Safe
from aggregator.reconciling.reckoner import Reckoner
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
        store = await Store.open(writer, readers, clock.now())
        session = await stack.enter_async_context(new_session())
        keys_client = Client(session, config.keys_url, config.token)
        keyring = Keyring(keys_client, config.keys_identity, clock)
        safe = Safe(store, Replica(litestream, config.database) if litestream else None)
        intake = Intake(store, keyring, clock)
        pullers = [
            Puller(
                Client(session, url, config.token),
                store=store,
                intake=intake,
                safe=safe,
                clock=clock,
                entropy=system_entropy,
            )
            for url in config.sources
        ]
        schedule = Schedule(clock)
        schedule.add("waiting", LateOpener(store, keyring).step)
        hashes = HashStore(writer, readers)
        asker = HashAsker(keys_client, hashes, keyring, clock, system_entropy)
        schedule.add("hashes", asker.step)
        reckoner = Reckoner(readers)
        schedule.add("reconcile", reckoner.step)
        for puller in pullers:
            schedule.add(puller.url, puller.step)
        app = build_app(
            tokens=tokens,
            readers=readers,
            store=store,
            keyring=keyring,
            pullers=pullers,
            reckoner=reckoner,
            clock=clock,
            entropy=system_entropy,
        )
        await listen(stack, app, config.private)
        loops = [schedule.run(), repeat(clock, KEYS_SECONDS, "keys", keyring.watch)]
        await run_until_told([*loops, *_replication(litestream, safe, clock)])


def _litestream(config: Config) -> Litestream | None:
    if not config.litestream_socket:
        return None
    litestream = Litestream(Path(config.litestream_socket), config.replica_url)
    litestream.hold(config.database, "combined")
    return litestream


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


if __name__ == "__main__":
    raise SystemExit(run_service("aggregator", Config.from_env, main, os.environ))
