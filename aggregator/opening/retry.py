"""Trying again what was set aside: with fresh keys, in whatever has become of the program since."""

import asyncio
from collections import Counter

from aggregator import metrics
from aggregator.opening.batches import epochs_of, first_of, open_batches
from aggregator.opening.keyring import Keyring
from aggregator.store import Store
from milepost.logs import get_log

log = get_log(__name__)

BATCHES_MAX = 50  # opened in one go; each holds a megabyte at most
RECORDS_MAX = 5_000  # in one transaction: what is pulled meanwhile waits for it


class Retrier:
    """Opens what can be opened by now, one call at a time."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._one_at_a_time = asyncio.Lock()

    async def retry(self) -> Counter[str]:
        """Try every batch that is set aside; count those opened, their hits, and the others.

        A batch whose key cannot be had at this moment stays as it was.
        """
        done: Counter[str] = Counter()
        async with self._one_at_a_time:
            after = b""
            while found := await self._store.set_aside(after, BATCHES_MAX):
                batches = first_of(found, RECORDS_MAX)
                after = batches[-1].header.batch
                epochs = epochs_of(batches)
                self._keyring.forget(epochs)
                keys = await self._keyring.keys(epochs)
                outcomes = await asyncio.to_thread(open_batches, batches, keys)
                settled = await self._store.settle(outcomes)
                fresh = {name: settled[name] for name in ("opened", "hits")}
                metrics.count_applied(fresh)
                done.update(fresh)
                done["set_aside"] += settled["set_aside"] + settled["waiting"]
        log.info("set_aside.retried", **done)
        return done
