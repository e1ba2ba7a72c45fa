"""The job that rolls hits up, block after block."""

from aggregator import metrics
from aggregator.rolling.store import roll_block
from milepost.database import Writer
from milepost.errors import UnavailableError
from milepost.logs import get_log

log = get_log(__name__)

EVERY_SECONDS = 1.0
MORE_SECONDS = 0.0  # between blocks while there is a backlog: whoever waits to write goes first


class Roller:
    """Keeps blocks and rollups less than a block behind the hits."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def step(self) -> float:
        """Roll one block; return how many seconds to wait."""
        try:
            with metrics.ROLL_SECONDS.time():
                hits = await self._writer.transact(roll_block)
        except UnavailableError as error:
            log.warning("roll.failed", reason=str(error))
            return EVERY_SECONDS
        metrics.ROLLED.inc(hits)
        return MORE_SECONDS if hits else EVERY_SECONDS
