"""An edge in one process."""

import contextlib

from milepost.loops import repeat
from milepost.service import listen, run_until_told, sole_holder
from regional_logger import parts
from regional_logger.bell import Bell
from regional_logger.config import Config
from regional_logger.entrance import entrance_of
from regional_logger.keyring import Keyring
from regional_logger.links.local import OwnLinks
from regional_logger.parts import BACKOFF_SECONDS_MAX, CLOCK
from regional_logger.replication import StreamKeeper

WORKER = 0  # in the meter and the streams of an edge that has no workers


async def main(config: Config) -> None:
    """Run one edge."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(sole_holder(config.data / "edge.lock", f"the folder {config.data}"))
        parts.log_folder(config)
        keyring, bell = Keyring(), Bell()
        litestream = parts.litestream_of(config)
        keys = await parts.key_follower(stack, config, keyring)
        replica, links = parts.replica_of(stack, config), parts.local_links(stack, config)
        feed = await parts.feed_follower(stack, config, replica, OwnLinks(replica, links))
        keeper = StreamKeeper(litestream, config.region, config.machine)
        journal = await parts.journal_of(
            stack, config, worker=WORKER, keyring=keyring, bell=bell, keeper=keeper
        )
        shelf = parts.shelf_of(stack, config)
        await parts.listen_privately(
            stack, config, shelf=shelf, bell=bell, reasons=lambda: parts.reasons_of(keyring, feed)
        )
        entrance = await entrance_of(config, links=links, keyring=keyring, journal=journal)
        await listen(stack, entrance.door.server(), config.public)
        stack.callback(bell.close)
        back = BACKOFF_SECONDS_MAX
        loops = [
            journal.watch(),
            *entrance.loops,
            *parts.housekeeping(config, shelf=shelf, writing=journal, litestream=litestream),
            repeat(
                CLOCK, parts.LIST_SECONDS, "keys.list", keys.follow_list, backoff_seconds_max=back
            ),
            repeat(
                CLOCK, parts.SALT_SECONDS, "keys.salts", keys.follow_salts, backoff_seconds_max=back
            ),
            repeat(CLOCK, parts.FEED_SECONDS, "feed", feed.follow, backoff_seconds_max=back),
            await parts.position_reporter(stack, config, feed),
            repeat(CLOCK, parts.LINKS_SECONDS, "links.warm", links.warm, backoff_seconds_max=back),
        ]
        await run_until_told(loops)
