"""Destroying: look what is due, ask whoever must be asked, and carry it out.

What holds after each step of `_carry_out`:
1. the issuer is held: no epoch is made, moved or published meanwhile;
2. committed: secrets, receipt, audit row and list stand as they will for ever;
   dying here leaves older states in the WAL, which the next start empties;
3. published: edges and the aggregator hear that the key has gone;
4. emptied: no file holds the secrets any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from key_server import metrics
from key_server.destruction.guard import Asker
from key_server.destruction.rules import (
    SILENT,
    Guard,
    Limits,
    Order,
    Standing,
    Wait,
    alarming,
    due_ms,
    over,
    plan,
    require_allowed,
    require_over,
)
from key_server.destruction.steady import Steady, begin
from key_server.destruction.store import DestructionStore, Doomed, Witness
from key_server.issuing import Issuer
from milepost.clock import Clock, Counter
from milepost.epochs import PublicEpoch
from milepost.errors import ConflictError, NotFoundError
from milepost.logs import get_log
from milepost.receipts import Receipt, What, hash_of
from milepost.vocabulary import Epoch, Millis

log = get_log(__name__)

SCHEDULE = "schedule"  # who, in the audit trail
ASKED_MAX = 100  # epochs that are asked about in one look
ALARM_EVERY_MS = 60 * 60 * 1000
REMEMBER_EVERY_MS = 60 * 1000


@dataclass(frozen=True, slots=True)
class Prospect:
    """What destroying something by hand would mean."""

    standing: Standing
    guard: Guard | None  # None: nothing holds it back


class Destroyer:
    """Destroys what is due, and what a person says."""

    def __init__(
        self,
        *,
        issuer: Issuer,
        store: DestructionStore,
        limits: Limits,
        asker: Asker | None,
        clock: Clock,
        counter: Counter,
        steady: Steady,
    ) -> None:
        self.emptied = False  # the WAL, since something was last destroyed
        self.alarms: tuple[Wait, ...] = ()
        self._issuer = issuer
        self._store = store
        self._limits = limits
        self._asker = asker
        self._clock = clock
        self._counter = counter
        self._steady = steady
        self._said: dict[Order, str] = {}
        self._rang_ms: int | None = None
        self._remembered_ms = Millis(0)

    @classmethod
    async def open(
        cls,
        *,
        issuer: Issuer,
        store: DestructionStore,
        limits: Limits,
        asker: Asker | None,
        clock: Clock,
        counter: Counter,
    ) -> Self:
        """Begin; finish what a process that was killed had left in the WAL."""
        trace_ms = await store.last_trace()
        destroyer = cls(
            issuer=issuer,
            store=store,
            limits=limits,
            asker=asker,
            clock=clock,
            counter=counter,
            steady=begin(clock.now(), trace_ms, counter()),
        )
        await destroyer.empty_wal()
        return destroyer

    async def look(self) -> None:
        """Destroy what is due; say what waits, and why."""
        if not self.emptied:
            await self.empty_wal()
        now, counter_ms = self._clock.now(), self._counter()
        held = await self._store.held(now)
        guards = await self._ask(held, now)
        heard = [each for each in guards.values() if each.answered]
        agreed = all(each.clocks_agree for each in heard)
        if heard and agreed:
            # As both were before anybody was asked: nobody has vouched for what came after.
            self._steady = self._steady.confirmed(now, counter_ms)
        moment = self._moment()
        planned = plan(held, moment, self._limits, guards, clocks_agree=agreed)
        if planned.due:
            await self._carry_out(planned.due, who=SCHEDULE, clicks=0)
        self._tell(planned.waits, moment)
        if abs(moment - self._remembered_ms) >= REMEMBER_EVERY_MS:
            await self._store.remember(moment)
            self._remembered_ms = moment

    async def prospect(self, order: Order) -> Prospect:
        """Return what stands in the way of destroying something by hand."""
        standing = await self._store.standing(order.epoch)
        if standing is None:
            msg = f"there is no epoch {order.epoch}"
            raise NotFoundError(msg)
        if not standing.holds(order.what):
            return Prospect(standing, None)
        moment = self._moment()
        require_over(standing.span, moment)
        if order.what is What.SALT and due_ms(standing.span, What.SALT, self._limits) <= moment:
            return Prospect(standing, None)
        guard = SILENT if self._asker is None else await self._asker.ask(standing.span)
        if order.what is What.SALT:
            grace = "its grace is not over: records of it may still come without a hash"
            return Prospect(standing, replace(guard, clocks_agree=True, reasons=(grace,)))
        return Prospect(standing, None if guard.drained and guard.clocks_agree else guard)

    async def by_hand(self, order: Order, force_clicks: int | None, who: str) -> str:
        """Destroy it now, unless something holds it back; return the receipt."""
        prospect = await self.prospect(order)
        if prospect.standing.holds(order.what):
            require_allowed(order, prospect.guard, force_clicks)
            clicks = prospect.guard.clicks if prospect.guard else 0
            await self._carry_out([order], who=who, clicks=clicks)
        receipt = await self._store.receipt(order)
        if receipt is None:
            msg = f"epoch {order.epoch} changed meanwhile; ask again"
            raise ConflictError(msg)
        return receipt

    async def receipts(self, after: int, count_max: int) -> list[tuple[int, str]]:
        """Return the signed receipts behind number *after*."""
        return await self._store.receipts(after, count_max)

    async def empty_wal(self) -> None:
        """Empty the WAL; while somebody reads an older state, another time."""
        self.emptied = await self._store.truncate()
        if not self.emptied:
            log.warning("wal.busy", reason="a reader is in the way; tried again soon")

    async def _ask(self, held: Sequence[Standing], now: Millis) -> dict[Epoch, Guard]:
        """Ask about record keys whose time is over; about any epoch, for the time, if none is."""
        records = over(held, What.RECORD, now, self._limits)[:ASKED_MAX]
        wanted = records or over(held, What.SALT, now, self._limits)[:1]
        guards: dict[Epoch, Guard] = {}
        guard = SILENT
        for each in wanted:
            if self._asker is not None and (guard is SILENT or guard.answered):
                guard = await self._asker.ask(each.span)
            guards[each.span.number] = guard  # who did not answer once is not asked again
        return guards

    def _moment(self) -> Millis:
        now, counter_ms = self._clock.now(), self._counter()
        self._steady = self._steady.looked(now, counter_ms)
        return self._steady.moment(now, counter_ms)

    async def _carry_out(self, orders: Sequence[Order], *, who: str, clicks: int) -> None:
        async with self._issuer.changing():
            moment, now = self._moment(), self._clock.now()
            try:
                done = await self._store.destroy(
                    orders, self._witness(now, clicks), who=who, moment=moment, now=now
                )
            finally:  # also what was reported as failed may have happened
                self.emptied = False
        await self.empty_wal()
        for order in done:
            metrics.DESTROYED.labels(order.what).inc()
            log.info("secret.destroyed", epoch=order.epoch, what=order.what, by=who)

    def _witness(self, now: Millis, clicks: int) -> Witness:
        def witness(doomed: Doomed) -> str:
            salt = doomed.order.what is What.SALT
            public = PublicEpoch(
                number=doomed.order.epoch,
                start_ms=now,
                end_ms=now,
                record_key=doomed.record_key,
                address_key=doomed.address_key,
            )
            return self._issuer.sign_receipt(
                Receipt(
                    epoch=doomed.order.epoch,
                    what=doomed.order.what,
                    at_ms=now,
                    key=public.key_id,
                    public_hash=hash_of(doomed.address_key if salt else doomed.record_key),
                    wrapped_hash=hash_of(*doomed.wrapped),
                    clicks=clicks,
                    no_copy_after_ms=Millis(now + self._limits.backup_ms),
                )
            )

        return witness

    def _tell(self, waits: Iterable[Wait], moment: Millis) -> None:
        waiting = list(waits)
        for what in What:
            count = sum(each.order.what is what for each in waiting)
            metrics.DESTRUCTIONS_WAITING.labels(what).set(count)
        overdue_ms = max((moment - each.due_ms for each in waiting), default=0)
        metrics.DESTRUCTION_OVERDUE.set(overdue_ms / 1000)
        said = {each.order: each.guard.why for each in waiting}
        for order, why in said.items():
            if self._said.get(order) != why:
                log.warning("secret.waits", epoch=order.epoch, what=order.what, reason=why)
        self._said = said
        self.alarms = tuple(alarming(waiting, moment))
        self._ring()

    def _ring(self) -> None:
        counter_ms = self._counter()
        if not self.alarms:
            self._rang_ms = None
        elif self._rang_ms is None or counter_ms - self._rang_ms >= ALARM_EVERY_MS:
            self._rang_ms = counter_ms
            for each in self.alarms:
                log.error(
                    "secret.overdue",
                    epoch=each.order.epoch,
                    what=each.order.what,
                    reason=each.guard.why,
                    streams=each.guard.streams,
                )
