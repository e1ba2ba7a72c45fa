"""Rolling generated hits up to their head, as the aggregator's own job does."""

from aggregator.rolling.store import roll_block
from milepost.database import Writer
from milepost.sqlite import Connection

BLOCKS_AT_ONCE = 32


async def roll(writer: Writer) -> None:
    """Roll up until no whole block is behind."""

    def work(db: Connection) -> bool:
        return all(roll_block(db) for _ in range(BLOCKS_AT_ONCE))

    while await writer.transact(work):
        pass
