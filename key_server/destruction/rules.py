"""What is to be destroyed, what waits, and why.

Salts and address keys go when their epoch and its grace are over.  Record keys
go when they have been kept long enough and nothing needs them any more.  Both
wait while another machine's clock says something else.  What waits says why.

Rules of this file:
- Pure.  It looks at what is held, not at what was done last time.
- The current epoch and those ahead are never destroyed, whoever asks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from key_server.periods import Span
from milepost.errors import ConflictError
from milepost.receipts import What
from milepost.vocabulary import Epoch, Millis

ALARM_MS = 7 * 24 * 60 * 60 * 1000  # a guard that holds for longer is an alarm
NOBODY = "no aggregator is configured (MILEPOST_AGGREGATOR_URL) that could say what is undrained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long secrets stay after the end of their epoch, and copies after that of the secrets."""

    grace_ms: int
    keep_ms: int
    backup_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """An epoch, and which of its secrets are there."""

    span: Span
    salt: bool
    record: bool

    def holds(self, what: What) -> bool:
        """Tell whether that secret is there."""
        return self.salt if what is What.SALT else self.record


@dataclass(frozen=True, slots=True)
class Order:
    """Something to destroy."""

    epoch: Epoch
    what: What


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the aggregator says of an epoch; or, with nothing known, why it says nothing."""

    drained: bool = False
    clicks: int = 0
    set_aside: int = 0
    clocks_agree: bool = True
    answered: bool = False
    reasons: tuple[str, ...] = (NOBODY,)
    streams: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Say in a sentence what stands in the way."""
        if not self.clocks_agree:
            return "the aggregator's clock and this one are five minutes or more apart"
        return "; ".join(self.reasons)


SILENT = Guard()


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that is due and waits."""

    order: Order
    due_ms: Millis
    guard: Guard


@dataclass(frozen=True, slots=True)
class Plan:
    """What to destroy now, and what waits."""

    due: tuple[Order, ...] = ()
    waits: tuple[Wait, ...] = ()


def due_ms(span: Span, what: What, limits: Limits) -> Millis:
    """Return from when on a secret of that epoch is to go."""
    stay = limits.grace_ms if what is What.SALT else limits.keep_ms
    return Millis(span.end_ms + stay)


def over(held: Iterable[Standing], what: What, moment: Millis, limits: Limits) -> list[Standing]:
    """Return the epochs whose time is over for that secret, the oldest first."""
    found = [
        each for each in held if each.holds(what) and due_ms(each.span, what, limits) <= moment
    ]
    return sorted(found, key=lambda each: each.span.number)


def plan(
    held: Iterable[Standing],
    moment: Millis,
    limits: Limits,
    guards: Mapping[Epoch, Guard],
    *,
    clocks_agree: bool,
) -> Plan:
    """Decide what goes at *moment*, which is as much of the clock as is believed.

    *clocks_agree* is false only if another clock has been heard and says something
    else.  An epoch without a guard has not been asked about yet: it comes next time.
    """
    standing = list(held)
    apart = Guard(clocks_agree=False)
    due: list[Order] = []
    waits: list[Wait] = []
    for what in What:
        for each in over(standing, what, moment, limits):
            order = Order(each.span.number, what)
            since = due_ms(each.span, what, limits)
            guard = guards.get(each.span.number)
            if not clocks_agree:
                waits.append(Wait(order, since, apart))
            elif what is What.SALT or (guard and guard.drained and guard.clocks_agree):
                due.append(order)
            elif guard:
                waits.append(Wait(order, since, guard))
    return Plan(tuple(due), tuple(waits))


def alarming(waits: Iterable[Wait], moment: Millis) -> list[Wait]:
    """Return what has waited for so long that a person should look into it."""
    return [each for each in waits if moment - each.due_ms > ALARM_MS]


def require_over(span: Span, moment: Millis) -> None:
    """Refuse to destroy what is in use, or will be."""
    if moment < span.end_ms:
        msg = f"epoch {span.number} is not over: the current epoch and those ahead stay"
        raise ConflictError(msg)


def require_allowed(order: Order, guard: Guard | None, force_clicks: int | None) -> None:
    """Refuse what the guard holds back, unless forced with the number of clicks it names.

    No guard means that nothing is held back.
    """
    if guard is None or force_clicks == guard.clicks:
        return
    known = "" if guard.answered else " that are known of"
    if force_clicks is not None:
        msg = f"the guard names {guard.clicks} clicks{known}, not {force_clicks}: {guard.why}"
    else:
        msg = (
            f"this would make {guard.clicks} clicks{known} unreadable: {guard.why}; "
            f"to destroy the {order.what} of epoch {order.epoch} all the same, "
            f"send force_clicks {guard.clicks}"
        )
    raise ConflictError(msg)
