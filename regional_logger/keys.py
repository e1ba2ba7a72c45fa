"""Keeping the keyring true: the signed list by long poll, the salts when they are due.

Neither is ever waited for by a visitor.  The list is cached on disk, for there
is nothing secret in it, so that a cold start works without the key server.
"""

import asyncio
from pathlib import Path
from typing import Any

import orjson

from milepost.batch import hex_bytes
from milepost.client import Client
from milepost.clock import Clock
from milepost.epochs import SALT_BYTES, EpochList, verify_list
from milepost.errors import RejectedError, ServiceError
from milepost.files import put_in_place
from milepost.logs import get_log
from milepost.vocabulary import Epoch, Millis, Salt
from regional_logger.keyring import HeldSalt, Keyring

log = get_log(__name__)

LIST_WAIT_SECONDS = 25.0
SALT_WAIT_SECONDS = 2.0
SALT_LEAD_MS_MAX = 5 * 60 * 1000


class KeyFollower:
    """Follows the key server."""

    def __init__(
        self, client: Client, keyring: Keyring, *, identity: bytes, cache: Path, clock: Clock
    ) -> None:
        self._client = client
        self._keyring = keyring
        self._identity = identity
        self._cache = cache
        self._clock = clock
        self._etag = ""
        self._outside = False
        self.document: Any = None  # the signed list at hand, as it was published

    def load_cache(self) -> None:
        """Start from the list of last time, if it still verifies."""
        try:
            document = orjson.loads(self._cache.read_bytes())
            self._keyring.take_list(verify_list(document, self._identity))
            self.document = document
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError, RejectedError) as error:
            log.warning("keys.cache_refused", reason=str(error))

    async def follow_list(self) -> None:
        """Wait for a newer list and take it."""
        document, self._etag = await self._client.get_changed(
            "/v1/epochs", self._etag, wait_seconds=LIST_WAIT_SECONDS
        )
        if document is None:
            return
        listed = verify_list(document, self._identity)
        salts = await self._salts_under(listed)
        if self._keyring.take_list(listed):
            if salts:
                self._keyring.take_salts(salts, self._clock.now())
            self.document = document
            self._write_cache(orjson.dumps(document))
            log.info("keys.list_taken", version=listed.version, epochs=len(listed.epochs))

    async def follow_salts(self) -> None:
        """Fetch salts if one is missing; forget those whose time is over."""
        now = self._clock.now()
        self._keyring.drop_ended(now)
        self._tell_if_outside(now)
        if not self._keyring.needs_salts(now, self._lead_ms(now)):
            return
        self._keyring.take_salts(await self._fetch_salts(), now)

    async def _salts_under(self, listed: EpochList) -> list[HeldSalt]:
        """Return the salts that come with a new list, when it begins another epoch at once.

        Taken together, list and salt leave no moment under the new epoch without a
        hash.  The list does not wait for long: `follow_salts` gets what is missing.
        """
        epoch = listed.at(self._clock.now())
        if epoch is None or self._keyring.salt_of(epoch) is not None:
            return []
        try:
            async with asyncio.timeout(SALT_WAIT_SECONDS):
                return await self._fetch_salts()
        except (ServiceError, TimeoutError) as error:
            log.warning("keys.salts_later", reason=str(error))
            return []

    async def _fetch_salts(self) -> list[HeldSalt]:
        answer = await self._client.get("/v1/salts")
        try:
            return [
                HeldSalt(
                    Epoch(int(entry["epoch"])),
                    Millis(int(entry["end_ms"])),
                    Salt(hex_bytes(entry["salt"], SALT_BYTES, "salt")),
                )
                for entry in answer["salts"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            msg = "the key server's salts cannot be read"
            raise RejectedError(msg) from error

    def _tell_if_outside(self, now: Millis) -> None:
        """Say when the clock enters or leaves what the list covers."""
        listed = self._keyring.listed
        outside = listed is not None and not listed.covers(now)
        if outside and not self._outside:
            log.error("clock.outside_epochs", now_ms=now)
        self._outside = outside

    def _lead_ms(self, now: Millis) -> int:
        epoch = self._keyring.epoch_at(now)
        if epoch is None:
            return 0
        return min(SALT_LEAD_MS_MAX, (epoch.end_ms - epoch.start_ms) // 4)

    def _write_cache(self, content: bytes) -> None:
        try:
            put_in_place(self._cache, content, synced=False)
        except OSError as error:  # a full disk must not keep new keys from being used
            log.warning("keys.cache_not_written", reason=error.strerror)
