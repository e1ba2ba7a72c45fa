"""Answering for address boxes: visitor hashes, and for who may, the addresses themselves.

What holds after each step of a call:
1. opened: an address is in the memory of this call and nowhere else;
2. noted: who asked for how many of which epoch is on disk;
3. looked again: no epoch was destroyed meanwhile, or the call is refused whole;
4. answered.  Nothing of it is kept or logged.
"""

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from key_server.audit import HASH, OPEN_ADDRESSES, AuditTrail
from key_server.boxes import (
    Answer,
    Destroyed,
    EpochSecrets,
    Finish,
    Known,
    as_hashes,
    as_they_are,
    claimed,
    count_given,
    open_items,
)
from key_server.metrics import CALLS, UNANSWERED
from key_server.store import KeyStore
from key_server.wrapping import Purpose, Vault
from milepost.clock import Clock
from milepost.errors import TooLargeError, UnavailableError
from milepost.hashing import ITEMS_MAX, Item, Unanswered, parse_items
from milepost.http import Handler, guarded, json_body, json_response, limited, principal_of
from milepost.logs import get_log
from milepost.rate import Rate, RateLimit
from milepost.record import RECORDS_MAX
from milepost.tokens import ADDRESSES, OPEN, MacKeys
from milepost.vocabulary import Epoch, Salt

log = get_log(__name__)

HASH_RATE = Rate(per_second=10.0, burst=100)
# All IPv4 addresses would take ten days, longer than a daily epoch's salt lives.  An hour without
# salts at a thousand visits a second is made up for in twelve minutes if a call is full; a quick
# disk makes batches of one or two records, so calls take many boxes.
HASHED_RATE = Rate(per_second=5_000.0, burst=ITEMS_MAX * RECORDS_MAX, what="addresses")
ADDRESSES_RATE = Rate(per_second=1.0, burst=10)


Take = Callable[[str, Sequence[Item | Unanswered]], None]


class BoxOpener:
    """Opens address boxes for who may have it done."""

    def __init__(self, store: KeyStore, vault: Vault, trail: AuditTrail, macs: MacKeys) -> None:
        self._store, self._vault, self._trail, self._macs = store, vault, trail, macs

    async def answer(
        self, who: str, what: str, items: list[Item | Unanswered], finish: Finish
    ) -> list[Answer]:
        """Answer each of *items*, and note that *who* asked for *what* before it is told."""
        known = await self._secrets({each.header.epoch for each in items if isinstance(each, Item)})
        answers = await asyncio.to_thread(open_items, items, known, self._macs, finish)
        counts = count_given(items, answers, known)
        await self._trail.note_all(who, what, counts)
        await self._require_alive(known)
        refused = [each for each in answers if isinstance(each, Unanswered)]
        for each in refused:
            UNANSWERED.labels(each.fault).inc()
        log.info("boxes.opened", what=what, to=who, items=len(items), refused=len(refused))
        return answers

    async def _require_alive(self, known: Known) -> None:
        for number, secrets in known.items():
            if isinstance(secrets, EpochSecrets):
                held = await self._store.address_secrets(number)
                if held is None or None in held:
                    msg = f"epoch {number} was destroyed meanwhile; ask again"
                    raise UnavailableError(msg)

    async def _secrets(self, epochs: set[Epoch]) -> Known:
        found: dict[Epoch, EpochSecrets | Destroyed] = {}
        for number in epochs:
            held = await self._store.address_secrets(number)
            if held is None:
                continue
            public, address_secret, salt = held
            if address_secret is None or salt is None:
                found[number] = Destroyed()
                continue
            found[number] = EpochSecrets(
                public,
                self._vault.unwrap(Purpose.ADDRESS, number, address_secret),
                Salt(self._vault.unwrap(Purpose.SALT, number, salt)),
            )
        return found


def add_hashing(app: web.Application, opener: BoxOpener, clock: Clock) -> None:
    """Serve `POST /v1/hash` and `POST /v1/open-addresses`."""
    spent = RateLimit(HASHED_RATE)

    def take(who: str, items: Sequence[Item | Unanswered]) -> None:
        spent.take(who, clock.now(), claimed(items))

    hashes = limited(RateLimit(HASH_RATE), clock, _handler(opener, HASH, as_hashes, take))
    opening = _handler(opener, OPEN_ADDRESSES, as_they_are, take)
    addresses = limited(RateLimit(ADDRESSES_RATE), clock, opening)
    app.router.add_post("/v1/hash", guarded(OPEN, hashes))
    app.router.add_post("/v1/open-addresses", guarded(ADDRESSES, addresses))


def _handler(opener: BoxOpener, what: str, finish: Finish, take: Take) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        CALLS.labels(what.replace("-", "_")).inc()
        items = parse_items(await json_body(request))
        if len(items) > ITEMS_MAX:
            msg = f"{len(items)} items; at most {ITEMS_MAX} in one call"
            raise TooLargeError(msg)
        who = principal_of(request).name
        take(who, items)
        answers = await opener.answer(who, what, items, finish)
        return json_response({"items": [each.to_json() for each in answers]})

    return answer
