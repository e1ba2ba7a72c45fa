"""Opening late: the batches that wait sealed until their key can be had."""

import asyncio

from aggregator import metrics
from aggregator.opening.batches import NoKey, first_of, open_batches
from aggregator.opening.keyring import Keyring
from aggregator.store import Store
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.vocabulary import Epoch

log = get_log(__name__)

EVERY_SECONDS = 1.0
BATCHES_MAX = 50  # opened in one go; each holds a megabyte at most
RECORDS_MAX = 5_000  # in one transaction: what is pulled meanwhile waits for it


class LateOpener:
    """Tries again and again to open what waits."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def step(self) -> float:
        """Open what can be opened by now; return how many seconds to wait."""
        self._keyring.drop_old()
        try:
            for epoch in await self._store.waiting_epochs():
                await self._open(epoch)
            waiting, set_aside = await self._store.count_sealed()
        except ServiceError as error:
            log.warning("opening.failed", code=error.code, reason=str(error))
            return EVERY_SECONDS
        metrics.WAITING.set(waiting.batches)
        metrics.SET_ASIDE.set(set_aside.batches)
        metrics.RECORDS_SET_ASIDE.set(set_aside.records)
        return EVERY_SECONDS

    async def _open(self, epoch: Epoch) -> None:
        keys = await self._keyring.keys([epoch])
        key = keys[epoch]
        if isinstance(key, NoKey) and not key.for_good:
            return
        while found := await self._store.waiting(epoch, BATCHES_MAX):
            batches = first_of(found, RECORDS_MAX)
            with metrics.OPEN_SECONDS.time():
                outcomes = await asyncio.to_thread(open_batches, batches, keys)
            done = await self._store.settle(outcomes)
            metrics.count_applied(done)
            log.info("waiting.opened", epoch=epoch, batches=len(batches), hits=done["hits"])
