"""An edge with workers: everything but visitors and their streams."""

import contextlib

from prometheus_client import REGISTRY

from milepost.loops import repeat
from milepost.service import reserve, run_until_told, sole_holder
from regional_logger import parts
from regional_logger.bell import Bell
from regional_logger.config import Config
from regional_logger.keyring import Keyring
from regional_logger.parts import BACKOFF_SECONDS_MAX, CLOCK
from regional_logger.replication import StreamKeeper
from regional_logger.workers.crew import LOOK_SECONDS, Crew, Terms
from regional_logger.workers.office import FrontOffice
from regional_logger.workers.share import SharedKeys, SharedLinks, greeting
from regional_logger.workers.sums import Summed


async def main(config: Config) -> None:
    """Run one edge with workers."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "edge.lock", f"the folder {config.data}"))
        folder = parts.log_folder(config)
        reserve(stack, config.public)
        crew, keyring, bell = Crew(config.workers), Keyring(), Bell()
        litestream = parts.litestream_of(config)
        keys = await parts.key_follower(stack, config, keyring)
        replica = parts.replica_of(stack, config)
        links = SharedLinks(replica, crew.tell)
        feed = await parts.feed_follower(stack, config, replica, links)
        shelf = parts.shelf_of(stack, config)
        summed = Summed(REGISTRY)
        await parts.listen_privately(
            stack,
            config,
            shelf=shelf,
            bell=bell,
            reasons=lambda: parts.reasons_of(keyring, feed) | crew.reasons(),
            metrics_of=summed,
        )
        shared = SharedKeys(keys, keyring, crew.tell)
        office = FrontOffice(
            folder,
            bell=bell,
            keeper=StreamKeeper(litestream, config.region, config.machine),
            summed=summed,
            words=greeting(shared, links),
        )
        crew.start(Terms(office=office, clock=CLOCK))
        stack.push_async_callback(crew.close)
        stack.callback(bell.close)
        follow_list, follow_salts = shared.after(keys.follow_list), shared.after(keys.follow_salts)
        back = BACKOFF_SECONDS_MAX
        loops = [
            crew.watch(),
            repeat(CLOCK, LOOK_SECONDS, "workers", crew.look),
            *parts.housekeeping(config, shelf=shelf, writing=crew, litestream=litestream),
            repeat(CLOCK, parts.LIST_SECONDS, "keys.list", follow_list, backoff_seconds_max=back),
            repeat(CLOCK, parts.SALT_SECONDS, "keys.salts", follow_salts, backoff_seconds_max=back),
            repeat(CLOCK, parts.FEED_SECONDS, "feed", feed.follow, backoff_seconds_max=back),
            await parts.position_reporter(stack, config, feed),
        ]
        await run_until_told(loops)
