"""The record keys: fetched when needed, kept in memory alone and not for long.

A key never touches a disk or a log line.  It is dropped after an hour, and as
soon as the key server's signed list no longer names its epoch.
"""

import asyncio
from collections.abc import Iterable

from aggregator.opening.batches import Key, NoKey, RecordKey
from milepost.batch import KEY_ID_BYTES, hex_bytes
from milepost.client import Client
from milepost.clock import Clock
from milepost.epochs import verify_list
from milepost.errors import NotFoundError, RejectedError, ServiceError, UnavailableError
from milepost.logs import get_log
from milepost.vocabulary import Epoch, KeyId, Millis

log = get_log(__name__)

KEEP_MS = 60 * 60 * 1000
KEYS_MAX = 128
CALL_SECONDS = 3.0
REST_MS = 1_000  # after a failed call: what is pulled meanwhile waits sealed
WATCH_SECONDS = 20.0
SECRET_BYTES = 32


class Keyring:
    """The record keys at hand, and how to get more."""

    def __init__(self, client: Client, identity: bytes, clock: Clock) -> None:
        self._client = client
        self._identity = identity
        self._clock = clock
        self._keys: dict[Epoch, tuple[RecordKey, Millis]] = {}
        self._one_call = asyncio.Lock()
        self._rest_until = Millis(0)
        self._etag = ""
        self._listed: dict[Epoch, Millis] = {}  # and when each ends
        self._missing = "the key server has not answered since the start"

    @property
    def missing(self) -> str:
        """Say what is wrong with the key server; empty once it has shown who it is."""
        return self._missing

    def end_of(self, epoch: Epoch) -> Millis | None:
        """Return when *epoch* ends, if the key server's list names it."""
        return self._listed.get(epoch)

    async def keys(self, epochs: Iterable[Epoch]) -> dict[Epoch, Key]:
        """Return the key of each of *epochs*, or why it is not to be had."""
        return {epoch: await self._key(epoch) for epoch in epochs}

    def forget(self, epochs: Iterable[Epoch]) -> None:
        """Forget the keys of *epochs*, so that they are fetched afresh."""
        for epoch in epochs:
            self._keys.pop(epoch, None)

    def disowned(self, epoch: Epoch) -> bool:
        """Tell whether the key server is who it should be, and does not list *epoch*."""
        return not self._missing and epoch not in self._listed

    def drop_old(self) -> None:
        """Forget what has been kept for its hour."""
        oldest = self._clock.now() - KEEP_MS
        self._keys = {epoch: kept for epoch, kept in self._keys.items() if kept[1] > oldest}

    async def watch(self) -> None:
        """Wait for a newer list of epochs; forget the keys of those it no longer names."""
        try:
            document, etag = await self._client.get_changed(
                "/v1/epochs", self._etag, wait_seconds=WATCH_SECONDS
            )
            if document is None:
                return
            known = verify_list(document, self._identity)
            listed = {each.number: each.end_ms for each in known.epochs}
        except ServiceError as error:
            # One that is down stays who it was; one that says something else may be another.
            if self._missing or isinstance(error, RejectedError):
                self._missing = f"the key server: {error}"
                self._etag = ""
            raise
        self._etag, self._missing, self._listed = etag, "", listed
        self._keys = {epoch: kept for epoch, kept in self._keys.items() if epoch in listed}

    async def _key(self, epoch: Epoch) -> Key:
        self.drop_old()
        async with self._one_call:
            if epoch in self._keys:
                return self._keys[epoch][0]
            now = self._clock.now()
            if now < self._rest_until:
                return NoKey("the key server did not answer", for_good=False)
            asked_under = self._etag
            try:
                key = await self._fetch(epoch)
            except NotFoundError:
                # Only the key server itself may say so, not whatever else is at its address.
                certain = self.disowned(epoch)
                return NoKey(f"epoch {epoch} is unknown or destroyed", for_good=certain)
            except ServiceError as error:
                self._rest_until = Millis(now + REST_MS)
                log.warning("key.failed", epoch=epoch, code=error.code, reason=str(error))
                return NoKey("the key server did not answer", for_good=False)
            if epoch in self._listed or self._etag == asked_under:
                self._keep(epoch, key, now)
            return key  # else a list came meanwhile that may be newer than the answer

    def _keep(self, epoch: Epoch, key: RecordKey, now: Millis) -> None:
        while len(self._keys) >= KEYS_MAX:
            self._keys.pop(next(iter(self._keys)))
        self._keys[epoch] = (key, now)

    async def _fetch(self, epoch: Epoch) -> RecordKey:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                told = await self._client.get(f"/v1/epochs/{epoch}/record-key")
        except TimeoutError as error:
            msg = f"{self._client.base_url}: no answer in {CALL_SECONDS} seconds"
            raise UnavailableError(msg) from error
        if not isinstance(told, dict) or told.get("epoch") != epoch:
            msg = "the key server answered for another epoch"
            raise RejectedError(msg)
        return RecordKey(
            KeyId(hex_bytes(told.get("key"), KEY_ID_BYTES, "key")),
            hex_bytes(told.get("record_key"), SECRET_BYTES, "record_key"),
        )
