"""The registry as a process: `python -m link_registry`."""

import contextlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from link_registry.app import registry_app, token_keeper
from link_registry.config import Config
from link_registry.fencing.fence import MARK_SECONDS
from link_registry.grants.ending import run_grants
from link_registry.grants.store import GrantStore
from link_registry.news import News
from link_registry.pruner import PRUNE_SECONDS, Pruner
from link_registry.store import LinkStore
from link_registry.vitals import Vitals
from milepost.access.keeper import NOTE_SECONDS
from milepost.clock import Clock, SystemClock, system_entropy
from milepost.litestream import Litestream
from milepost.loops import repeat
from milepost.service import listen, run_service, run_until_told, sole_holder
from milepost.tokens import TokenBook

LOOK_SECONDS = 5.0
LITESTREAM_SECONDS, LITESTREAM_BACKOFF_SECONDS_MAX = 1.0, 5.0


async def main(config: Config) -> None:
    """Serve until told to end."""
    clock, news = SystemClock(), News()
    tokens = TokenBook.load(config.tokens_file)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "lock", f"the folder {config.data}"))
        store = await stack.enter_async_context(
            LinkStore.open(
                config.database,
                system_entropy,
                news,
                checkpoints=not config.replicated,
                machine=config.machine,
            )
        )
        vitals = Vitals(store)
        await vitals.look()
        keeper = token_keeper(store, tokens, clock, system_entropy)
        app = registry_app(
            store,
            news,
            vitals,
            tokens=tokens,
            clock=clock,
            entropy=system_entropy,
            policy=config.policy,
            origins=config.origins,
            cleans=config.cleanup is not None,
            keeper=keeper,
        )
        await listen(stack, app, config.private)
        loops = [
            repeat(clock, LOOK_SECONDS, "vitals", vitals.look),
            run_grants(GrantStore(store), config.cleanup, clock, system_entropy),
            repeat(clock, MARK_SECONDS, "mark", store.fence.look),
            repeat(clock, NOTE_SECONDS, "tokens", keeper.note_used),
            repeat(clock, PRUNE_SECONDS, "prune", Pruner(store, clock, config.history_days).step),
        ]
        if config.replicated:
            loops.append(_replication(config, clock))
        await run_until_told(loops)


def _replication(config: Config, clock: Clock) -> Coroutine[Any, Any, None]:
    litestream = Litestream(Path(config.litestream_socket), config.replica_url)
    litestream.hold(config.database, "links")
    return repeat(
        clock,
        LITESTREAM_SECONDS,
        "litestream",
        litestream.assert_held,
        backoff_seconds_max=LITESTREAM_BACKOFF_SECONDS_MAX,
    )


if __name__ == "__main__":
    raise SystemExit(run_service("links", Config.from_env, main, os.environ))
