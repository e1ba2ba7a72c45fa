"""Issuing: make the epochs that are due, and publish the list.

Looks at what is, not at what happened last time, so a missed or failed run
repairs itself.  The order is fixed: epochs are on disk, together with the
version of the list that first names them, before anybody hears of them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from hashlib import blake2b

import nacl.bindings as sodium

from key_server.board import Board, Published
from key_server.metrics import EPOCHS_AHEAD, LIST_VERSION
from key_server.periods import AHEAD, Period, Span, count_ahead, cut_short, plan
from key_server.store import HeldEpoch, Identity, KeyStore, NewEpoch
from key_server.wrapping import NONCE_BYTES, Purpose, Vault
from milepost.clock import Clock, Entropy
from milepost.epochs import EPOCHS_IN_LIST_MAX, SALT_BYTES, PublicEpoch, sign_list
from milepost.errors import ConfigError, ConflictError, ServiceError
from milepost.logs import get_log
from milepost.receipts import Receipt, sign_receipt
from milepost.vocabulary import Millis

log = get_log(__name__)

SECRET_KEY_BYTES, SEED_BYTES, ETAG_BYTES = 32, 32, 16

# One more than promised: the promise still holds when an epoch has just begun and the
# next look is yet to come.
MADE_AHEAD = AHEAD + 1

HELD_MAX = EPOCHS_IN_LIST_MAX  # a longer list would be cut at the wrong end by its readers


async def found(store: KeyStore, vault: Vault, entropy: Entropy) -> bool:
    """Give the key server its identity, unless it has one; tell whether it was given."""
    if await store.identity() is not None:
        return False
    seed = entropy(SEED_BYTES)
    public, _ = sodium.crypto_sign_seed_keypair(seed)
    wrapped = vault.wrap(Purpose.IDENTITY, 0, seed, entropy(NONCE_BYTES))
    await store.found(Identity(public=public, seed=wrapped, check=vault.check))
    log.info("identity.made", identity=public.hex())
    return True


class Issuer:
    """Makes epochs and keeps the board true."""

    def __init__(
        self,
        *,
        store: KeyStore,
        vault: Vault,
        period: Period,
        clock: Clock,
        entropy: Entropy,
        identity: bytes,
        signing_key: bytes,
    ) -> None:
        self.identity = identity
        self.held: tuple[HeldEpoch, ...] = ()
        self._store = store
        self._vault = vault
        self._period = period
        self._clock = clock
        self._entropy = entropy
        self._signing_key = signing_key
        self._one_change = asyncio.Lock()
        self._unread = True  # something may be on disk that is not published
        self.board = Board(self._sign(Millis(0), ()))

    @classmethod
    async def open(
        cls, store: KeyStore, vault: Vault, period: Period, clock: Clock, entropy: Entropy
    ) -> "Issuer":
        """Open and publish what *store* holds."""
        identity = await store.identity()
        if identity is None:
            msg = "the key server has no identity yet; type `milepost keys init`"
            raise ConfigError(msg)
        vault.require_made(identity.check)
        try:
            seed = vault.unwrap(Purpose.IDENTITY, 0, identity.seed)
        except ServiceError as error:
            raise ConfigError(str(error)) from error
        _, signing_key = sodium.crypto_sign_seed_keypair(seed)
        issuer = cls(
            store=store,
            vault=vault,
            period=period,
            clock=clock,
            entropy=entropy,
            identity=identity.public,
            signing_key=signing_key,
        )
        await issuer.read()
        return issuer

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return when the epochs are, in order."""
        return tuple(epoch.span for epoch in self.held)

    async def read(self) -> None:
        """Publish what is on disk."""
        version, self.held = await self._store.newest(HELD_MAX)
        openable = tuple(epoch.public for epoch in self.held if epoch.record_gone_ms is None)
        self.board.show(self._sign(version, openable))
        self._unread = False
        LIST_VERSION.set(version / 1000)

    async def look(self) -> None:
        """Make what is due, if anything is, and publish it."""
        async with self._one_change:
            await self._make_due()
        EPOCHS_AHEAD.set(count_ahead(self.spans, self._clock.now()))

    async def _make_due(self) -> None:
        if self._unread or self._due():
            # An attempt that was reported as failed may have gone through: disk decides.
            await self.read()
        due = self._due()
        if due:
            await self._store.add(tuple(map(self._make, due)), self._clock.now())
            await self.read()
            log.info("epochs.made", first=due[0].number, last=due[-1].number)

    async def rotate(self, who: str) -> Span:
        """End the current epoch now; return the one that begins."""
        async with self._one_change:
            await self.read()
            now = self._clock.now()
            moved = cut_short(self.spans, now)
            if not moved:
                msg = "no epoch can be cut short at this moment: none holds it, or one just began"
                raise ConflictError(msg)
            kept = self.spans[: -len(moved)]
            due = plan((*kept, *moved), now, self._period, MADE_AHEAD)
            self._require_whole(moved)
            self._unread = True
            await self._store.rotate(moved, tuple(map(self._make, due)), who, now)
            await self.read()
        log.info("epoch.rotated", ended=moved[0].number, by=who)
        return moved[1] if len(moved) > 1 else due[0]

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Let nobody else change the epochs meanwhile; publish what has become of them."""
        async with self._one_change:
            self._unread = True
            try:
                yield
            finally:  # what was reported as failed may have happened
                await self.read()

    def sign_receipt(self, receipt: Receipt) -> str:
        """Return *receipt* signed by this key server."""
        return sign_receipt(receipt, self._signing_key)

    def _require_whole(self, spans: Iterable[Span]) -> None:
        """Refuse to give other bounds to what is destroyed: only a wrong clock asks for that."""
        gone = {held.public.number for held in self.held if held.touched}
        for span in spans:
            if span.number in gone:
                msg = f"epoch {span.number} is destroyed and not over: is the clock right?"
                raise ConflictError(msg)

    def _due(self) -> tuple[Span, ...]:
        return plan(self.spans, self._clock.now(), self._period, MADE_AHEAD)

    def _sign(self, version: Millis, epochs: tuple[PublicEpoch, ...]) -> Published:
        document = sign_list(version, epochs, self._signing_key)
        etag = blake2b(document, digest_size=ETAG_BYTES).hexdigest()
        return Published(version=version, epochs=epochs, document=document, etag=etag)

    def _make(self, span: Span) -> NewEpoch:
        return make_epoch(span, self._vault, self._entropy)


def make_epoch(span: Span, vault: Vault, entropy: Entropy) -> NewEpoch:
    """Draw the secrets of one epoch, and wrap them."""

    def wrapped(purpose: Purpose, secret: bytes) -> bytes:
        return vault.wrap(purpose, span.number, secret, entropy(NONCE_BYTES))

    record_secret = entropy(SECRET_KEY_BYTES)
    address_secret = entropy(SECRET_KEY_BYTES)
    salt = entropy(SALT_BYTES)
    return NewEpoch(
        public=PublicEpoch(
            number=span.number,
            start_ms=span.start_ms,
            end_ms=span.end_ms,
            record_key=sodium.crypto_scalarmult_base(record_secret),
            address_key=sodium.crypto_scalarmult_base(address_secret),
        ),
        record_secret=wrapped(Purpose.RECORD, record_secret),
        address_secret=wrapped(Purpose.ADDRESS, address_secret),
        salt=wrapped(Purpose.SALT, salt),
    )
