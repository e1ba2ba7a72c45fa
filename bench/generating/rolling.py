"""Rolling generated hits up to their head, as the aggregator's own job does."""

from importlib import import_module
from importlib.util import find_spec

from milepost.database import Writer
from milepost.sqlite import Connection

BLOCKS_AT_ONCE = 32


async def roll(writer: Writer) -> bool:
    """Roll up until no whole block is behind; tell whether there is anything that rolls up.

    Named by text as long as the package may not be there.
    """
    if find_spec("aggregator.rolling") is None:
        return False
    roll_block = import_module("aggregator.rolling.store").roll_block

    def work(db: Connection) -> bool:
        return all(roll_block(db) for _ in range(BLOCKS_AT_ONCE))

    while await writer.transact(work):
        pass
    return True
