"""What is due, what waits, and how far a clock is believed: the rules, without a key server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from key_server.destruction.rules import (
    ALARM_MS,
    SILENT,
    Guard,
    Limits,
    Order,
    Plan,
    Standing,
    Wait,
    alarming,
    plan,
    require_allowed,
    require_over,
)
from key_server.destruction.steady import AHEAD_MS_MAX, CONFIRM_MS, Steady, agree, begin
from key_server.periods import Span
from milepost.errors import ConflictError
from milepost.receipts import What
from milepost.vocabulary import Epoch, Millis

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = Millis(1_763_596_800_000)
LIMITS = Limits(grace_ms=2 * DAY_MS, keep_ms=30 * DAY_MS, backup_ms=2 * DAY_MS)
DRAINED = Guard(drained=True, answered=True, reasons=())
UNDRAINED = Guard(clicks=12, answered=True, reasons=("one stream lags",), streams=("ab",))
OTHER_CLOCK = replace(DRAINED, clocks_agree=False)


def a_day(number: int, *, salt: bool = True, record: bool = True) -> Standing:
    """Return the epoch of the day *number* after the start."""
    begins = START + number * DAY_MS
    return Standing(
        Span(Epoch(number), Millis(begins), Millis(begins + DAY_MS)), salt=salt, record=record
    )


def planned(days: float, guard: Guard | None, *, agree: bool = True) -> Plan:
    """Return the plan for one epoch, that many days after its end."""
    held = a_day(1)
    guards = {} if guard is None else {held.span.number: guard}
    moment = Millis(round(held.span.end_ms + days * DAY_MS))
    return plan([held], moment, LIMITS, guards, clocks_agree=agree)


SALT, RECORD = Order(Epoch(1), What.SALT), Order(Epoch(1), What.RECORD)


@pytest.mark.parametrize(
    ("days", "guard", "agree", "due", "waiting"),
    [
        (-0.5, DRAINED, True, [], []),
        (1.99, DRAINED, True, [], []),
        (2, None, True, [SALT], []),
        (2, SILENT, True, [SALT], []),
        (2, UNDRAINED, True, [SALT], []),
        (2, OTHER_CLOCK, False, [], [SALT]),
        (29.99, DRAINED, True, [SALT], []),
        (30, DRAINED, True, [SALT, RECORD], []),
        (30, UNDRAINED, True, [SALT], [RECORD]),
        (30, SILENT, True, [SALT], [RECORD]),
        (30, OTHER_CLOCK, False, [], [SALT, RECORD]),
        (30, OTHER_CLOCK, True, [SALT], [RECORD]),
        (30, None, True, [SALT], []),
    ],
)
def test_the_guard(
    days: float, guard: Guard | None, *, agree: bool, due: list[Order], waiting: list[Order]
) -> None:
    """Salts wait for another clock alone; record keys for whoever needs them, and for an answer."""
    found = planned(days, guard, agree=agree)

    assert list(found.due) == due
    assert [each.order for each in found.waits] == waiting


def test_what_waits_says_why() -> None:
    """In words that a person can act on."""
    reasons = {
        planned(30, guard, agree=agree).waits[0].guard.why
        for guard, agree in ((UNDRAINED, True), (SILENT, True), (OTHER_CLOCK, False))
    }

    assert len(reasons) == 3
    assert "one stream lags" in reasons
    assert any("MILEPOST_AGGREGATOR_URL" in reason for reason in reasons)
    assert any("clock" in reason for reason in reasons)


def test_what_is_gone_is_not_destroyed_again() -> None:
    """The rules look at what is there."""
    held = [a_day(1, salt=False, record=False), a_day(2, salt=False)]
    guards = {Epoch(number): DRAINED for number in (1, 2)}

    found = plan(held, Millis(START + 99 * DAY_MS), LIMITS, guards, clocks_agree=True)

    assert found == Plan(due=(Order(Epoch(2), What.RECORD),))


def test_a_guard_that_holds_for_a_week_is_an_alarm() -> None:
    """Not a moment earlier."""
    wait = Wait(RECORD, START, UNDRAINED)

    assert alarming([wait], Millis(START + ALARM_MS)) == []
    assert alarming([wait], Millis(START + ALARM_MS + 1)) == [wait]


@pytest.mark.parametrize(
    ("guard", "force", "passes"),
    [
        (None, None, True),
        (None, 3, True),
        (UNDRAINED, None, False),
        (UNDRAINED, 11, False),
        (UNDRAINED, 12, True),
        (SILENT, None, False),
        (SILENT, 0, True),
    ],
)
def test_force_takes_the_very_number(
    guard: Guard | None, force: int | None, *, passes: bool
) -> None:
    """Whoever names another number has not seen what it costs; the refusal names it."""
    if passes:
        require_allowed(RECORD, guard, force)
        return
    with pytest.raises(ConflictError) as caught:
        require_allowed(RECORD, guard, force)
    assert guard
    assert f"{guard.clicks} clicks" in str(caught.value)


def test_the_present_stays() -> None:
    """The current epoch is not over, and those ahead even less."""
    span = a_day(1).span
    require_over(span, span.end_ms)

    for moment in (span.end_ms - 1, span.start_ms - 1):
        with pytest.raises(ConflictError, match="not over"):
            require_over(span, Millis(moment))


@pytest.mark.parametrize(("apart", "same"), [(0, True), (299_999, True), (300_000, False)])
def test_two_clocks_agree_within_five_minutes(apart: int, *, same: bool) -> None:
    """In either direction."""
    assert agree(START, Millis(START + apart)) is same
    assert agree(Millis(START + apart), START) is same


def test_a_leap_is_believed_after_a_real_while() -> None:
    """Until then the counter is; a clock that is set back in time has destroyed nothing."""
    steady = Steady(START)
    ahead = Millis(START + 30 * DAY_MS)
    steady = steady.looked(ahead, 0)
    assert steady.moment(ahead, 0) == START

    later = CONFIRM_MS - 1
    steady = steady.looked(Millis(ahead + later), later)
    assert steady.moment(Millis(ahead + later), later) == START + later

    steady = steady.looked(Millis(ahead + CONFIRM_MS), CONFIRM_MS)
    assert steady.moment(Millis(ahead + CONFIRM_MS), CONFIRM_MS) == ahead + CONFIRM_MS


def test_a_second_clock_is_as_good_as_the_while() -> None:
    """After a long rest nobody has to wait."""
    rested = Millis(START + 30 * DAY_MS)
    steady = begin(rested, START, 5)

    assert steady.moment(rested, 5) == START
    assert steady.confirmed(rested, 5).moment(rested, 5) == rested


@dataclass
class Life:
    """A key server without a second clock, as it looks, sleeps, restarts, and has its clock set."""

    true_ms: int = START
    error_ms: int = 0  # how far the clock is off
    counter_ms: int = 0
    steady: Steady = field(default_factory=lambda: begin(START, START, 0))
    held: list[Standing] = field(default_factory=lambda: [a_day(number) for number in range(40)])
    touched: bool = False

    @property
    def wall(self) -> Millis:
        """Return what the clock says."""
        return Millis(self.true_ms + self.error_ms)

    def sleep(self, milliseconds: int) -> None:
        """Let time pass."""
        self.true_ms += milliseconds
        self.counter_ms += milliseconds

    def set_clock(self, error_ms: int) -> None:
        """Set the clock."""
        self.error_ms = error_ms
        self.touched = True

    def look(self) -> list[Span]:
        """Look, and destroy what is due; return what went."""
        self.steady = self.steady.looked(self.wall, self.counter_ms)
        moment = self.steady.moment(self.wall, self.counter_ms)
        due = plan(self.held, moment, LIMITS, {}, clocks_agree=True).due
        gone = {order.epoch for order in due}
        went = [each.span for each in self.held if each.span.number in gone]
        self.held = [
            replace(each, salt=False) if each.span.number in gone else each for each in self.held
        ]
        return went

    def overdue(self) -> list[Standing]:
        """Return the salts that are there although the clock says that they should not be."""
        return [
            each
            for each in self.held
            if each.salt and each.span.end_ms + LIMITS.grace_ms <= self.wall
        ]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("sleep"), st.integers(1, 3 * DAY_MS)),
        st.tuples(st.just("sleep"), st.integers(1, CONFIRM_MS)),
        st.tuples(st.just("set"), st.integers(-60 * DAY_MS, 60 * DAY_MS)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=40,
)


@given(ACTS)
def test_no_salt_outlives_its_epoch_plus_grace(acts: Sequence[tuple[str, int]]) -> None:
    """Whatever looks, sleeps and clock jumps: two looks, a while apart, and it is gone."""
    life = Life()
    for act, amount in acts:
        if act == "sleep":
            life.sleep(amount)
        elif act == "set":
            life.set_clock(amount)
        life.look()
        if not life.touched:
            assert life.overdue() == []  # a clock that was never touched needs no while

    life.look()
    life.sleep(CONFIRM_MS)
    life.look()
    assert life.overdue() == []


@given(ACTS, st.integers(AHEAD_MS_MAX + 1, 400 * DAY_MS), st.integers(0, CONFIRM_MS - 1))
def test_a_clock_set_ahead_by_mistake_destroys_nothing_of_the_present(
    acts: Sequence[tuple[str, int]], ahead_ms: int, mended_after_ms: int
) -> None:
    """As long as it is set right again within the while, at however many looks."""
    life = Life()
    for act, amount in acts:
        if act == "sleep":
            life.sleep(amount)
        else:
            life.look()
    life.look()
    life.set_clock(ahead_ms)
    for _ in range(3):
        went = life.look()
        assert [span for span in went if span.end_ms + LIMITS.grace_ms > life.true_ms] == []
        life.sleep(mended_after_ms // 3)
    life.set_clock(0)

    assert [s for s in life.look() if s.end_ms + LIMITS.grace_ms > life.true_ms] == []
