"""Periods: the calendar, and the law that each moment belongs to one epoch."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from key_server.periods import (
    AHEAD,
    Period,
    Span,
    boundaries,
    count_ahead,
    current,
    cut_short,
    parse_period,
    plan,
    salts_due,
    state,
)
from milepost.errors import ConfigError
from milepost.vocabulary import Epoch, Millis

FIRST_MS, LAST_MS = 1_700_000_000_000, 4_000_000_000_000
DAY = Period("day")
MINUTE_MS, DAY_MS = 60_000, 86_400_000

moments = st.integers(FIRST_MS, LAST_MS).map(Millis)
periods = st.sampled_from(["day", "week", "month"]).map(Period) | st.integers(2, 400_000).map(
    lambda seconds: Period("seconds", seconds)
)
pauses_ms = st.integers(0, 3_000) | st.integers(0, 200 * DAY_MS)


def at(text: str) -> Millis:
    """Return the moment that *text* names in UTC."""
    return Millis(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000))


@pytest.mark.parametrize(
    ("unit", "moment", "start", "end"),
    [
        ("day", "2026-11-20T00:00:00", "2026-11-20", "2026-11-21"),
        ("day", "2026-11-20T23:59:59.999", "2026-11-20", "2026-11-21"),
        ("week", "2026-11-22T12:00:00", "2026-11-16", "2026-11-23"),
        ("week", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T10:00:00", "2028-02-01", "2028-03-01"),
    ],
    ids=["first moment", "last moment", "Sunday", "Monday", "year's end", "leap day"],
)
def test_the_calendar_is_utc_and_weeks_begin_on_monday(
    unit: str, moment: str, start: str, end: str
) -> None:
    """A boundary belongs to what begins there."""
    assert boundaries(at(moment), Period(unit)) == (at(start), at(end))


@pytest.mark.parametrize("text", ["", "1s", "0s", "-5s", "90", "90m", "1.5s", "Day", "99999999s"])
def test_a_bad_period_is_refused(text: str) -> None:
    """The text says what would be good."""
    with pytest.raises(ConfigError, match="want day, week, month or 2s"):
        parse_period(text)


@pytest.mark.parametrize(
    ("text", "period"),
    [("day", DAY), ("month", Period("month")), ("90s", Period("seconds", 90))],
)
def test_a_good_period_is_read(text: str, period: Period) -> None:
    """Calendar units by name, all else in seconds."""
    assert parse_period(text) == period


@given(moments, periods)
def test_a_moment_lies_between_its_boundaries(moment: Millis, period: Period) -> None:
    """And the next boundary begins the next stretch."""
    start, end = boundaries(moment, period)

    assert start <= moment < end
    assert boundaries(end, period)[0] == end


@given(moments, st.lists(st.tuples(pauses_ms, periods), min_size=1, max_size=8))
def test_exactly_one_epoch_covers_each_moment(
    begin: Millis, steps: list[tuple[int, Period]]
) -> None:
    """Whatever was slept through and whatever the period became, epochs touch and are numbered.

    Each step sleeps and wakes to a period.  After it, the moment has its
    epoch, and the promised number of epochs lies ahead.
    """
    now, held = begin, tuple[Span, ...]()
    for pause_ms, period in steps:
        now = Millis(now + pause_ms)
        held += plan(held, now, period)

        assert current(held, now) is not None
        assert count_ahead(held, now) >= AHEAD
    assert held[0].number == 1
    for before, after in pairwise(held):
        assert after.start_ms == before.end_ms
        assert after.number == before.number + 1
        assert after.end_ms > after.start_ms


@given(moments, periods, pauses_ms)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    begin: Millis, period: Period, pause_ms: int
) -> None:
    """Planning is repeatable: the same state gives the same plan, and its result gives none."""
    held = plan((), begin, period)
    now = Millis(begin + pause_ms)
    made = plan(held, now, period)

    assert plan(held, now, period) == made
    assert plan(held + made, now, period) == ()


def test_no_more_is_made_than_is_needed() -> None:
    """One epoch for now and the promised ones ahead, each a day long."""
    made = plan((), at("2026-11-20T12:00:00"), DAY)

    assert len(made) == 1 + AHEAD
    assert {span.end_ms - span.start_ms for span in made} == {DAY_MS}


def test_one_epoch_closes_a_gap() -> None:
    """Years of sleep cost one epoch, which ends at the next boundary."""
    held = (Span(Epoch(7), at("2020-01-01"), at("2020-01-02")),)

    made = plan(held, at("2026-11-20T12:00:00"), DAY, ahead=1)

    assert made == (
        Span(Epoch(8), at("2020-01-02"), at("2026-11-21")),
        Span(Epoch(9), at("2026-11-21"), at("2026-11-22")),
    )


@given(moments, periods, st.integers(0, 100 * DAY_MS))
def test_a_clock_that_went_back_makes_no_overlap(
    begin: Millis, period: Period, back_ms: int
) -> None:
    """What lies ahead then is more than enough, and nothing is made."""
    held = plan((), begin, period)

    assert plan(held, Millis(begin - back_ms), period) == ()


@pytest.mark.parametrize(
    ("before_end_ms", "due"),
    [(DAY_MS, (1,)), (10 * MINUTE_MS + 1, (1,)), (10 * MINUTE_MS, (1, 2)), (1, (1, 2))],
)
def test_the_next_salt_is_due_when_its_epoch_is_near(
    before_end_ms: int, due: tuple[int, ...]
) -> None:
    """An edge has it shortly before it needs it, and no sooner."""
    held = plan((), at("2026-11-20"), DAY)

    assert salts_due(held, Millis(at("2026-11-21") - before_end_ms)) == due


def test_near_is_at_most_half_a_short_epoch() -> None:
    """Or the salts of short epochs would always be out ahead of time."""
    start = Millis(FIRST_MS)
    held = plan((), start, Period("seconds", 2))

    assert salts_due(held, Millis(start + 999)) == (1,)
    assert salts_due(held, Millis(start + 1_000)) == (1, 2)


def test_without_a_current_epoch_no_salt_is_due() -> None:
    """A clock outside every epoch gets nothing."""
    held = plan((), at("2026-11-20"), DAY)

    assert salts_due(held, at("2026-11-19")) == ()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("2026-11-19", "ahead"), ("2026-11-20", "active"), ("2026-11-21", "past")],
)
def test_an_epoch_is_ahead_active_or_past(moment: str, expected: str) -> None:
    """It is active from its first moment to before its end."""
    span = Span(Epoch(1), at("2026-11-20"), at("2026-11-21"))

    assert state(span, at(moment)) == expected


def test_a_cut_epoch_leaves_its_end_to_the_next_one() -> None:
    """The bounds after it stay where they were, and a new epoch takes the last."""
    held = plan((), at("2026-11-20"), DAY, ahead=2)
    noon = at("2026-11-20T12:00:00")

    moved = cut_short(held, noon)

    assert moved == (
        Span(Epoch(1), at("2026-11-20"), noon),
        Span(Epoch(2), noon, at("2026-11-21")),
        Span(Epoch(3), at("2026-11-21"), at("2026-11-22")),
    )
    assert plan(moved, noon, DAY, ahead=2) == (Span(Epoch(4), at("2026-11-22"), at("2026-11-23")),)


def test_nothing_is_cut_where_nothing_would_be_left() -> None:
    """An epoch that begins at this moment, and a moment that no epoch holds."""
    held = plan((), at("2026-11-20"), DAY)

    assert cut_short(held, at("2026-11-20")) == ()
    assert cut_short(held, at("2026-11-19")) == ()
    assert cut_short((), at("2026-11-19")) == ()


steps = st.tuples(
    st.sampled_from(["look", "rotate"]),
    st.integers(-3 * DAY_MS, 70 * DAY_MS),  # how far the clock goes, or jumps back
    periods,
)


@given(moments, st.lists(steps, max_size=8))
def test_one_epoch_covers_each_moment_whatever_happens(
    begin: Millis, history: list[tuple[str, int, Period]]
) -> None:
    """Looks, hand rotations, sleeps, clocks that jump, periods that change."""
    now, held = begin, plan((), begin, DAY, ahead=3)
    first_ms = held[0].start_ms
    for what, passes_ms, period in history:
        now = Millis(now + passes_ms)
        before = {span.number: span for span in held}
        if what == "rotate":
            moved = cut_short(held, now)
            kept = held[: len(held) - len(moved)]
            held = (*kept, *moved)
        held = (*held, *plan(held, now, period, ahead=3))

        assert [span.number for span in held] == list(range(1, len(held) + 1))
        assert held[0].start_ms == first_ms
        assert all(a.end_ms == b.start_ms for a, b in pairwise(held))
        assert all(span.start_ms < span.end_ms for span in held)
        assert now < first_ms or sum(span.holds(now) for span in held) == 1
        assert all(span.end_ms <= before[span.number].end_ms for span in held[: len(before)])
