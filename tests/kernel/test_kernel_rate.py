"""How often one caller may ask."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import TooManyError
from milepost.rate import Left, Rate, RateLimit, per_minute
from milepost.vocabulary import Millis

NOW = Millis(1_763_640_000_000)


def granted(limit: RateLimit, now: int, calls: int, who: str = "a") -> int:
    """Return how many of *calls* at one moment are let through."""
    count = 0
    for _ in range(calls):
        try:
            limit.take(who, Millis(now))
            count += 1
        except TooManyError:
            pass
    return count


def test_a_burst_is_let_through_and_no_more() -> None:
    """And each caller has a bucket of their own."""
    limit = RateLimit(Rate(per_second=1.0, burst=5))

    assert granted(limit, NOW, 9) == 5
    assert granted(limit, NOW, 9, who="b") == 5


def test_calls_come_back_with_time() -> None:
    """Two seconds at two a second are four calls, and an hour is no more than a burst."""
    limit = RateLimit(Rate(per_second=2.0, burst=5))
    granted(limit, NOW, 5)

    assert granted(limit, NOW + 2_000, 9) == 4
    assert granted(limit, NOW + 3_600_000, 9) == 5


def test_a_refusal_says_when_to_ask_again() -> None:
    """In whole seconds, as Retry-After wants them; and then there is a call."""
    limit = RateLimit(Rate(per_second=0.25, burst=1))
    limit.take("a", NOW)

    with pytest.raises(TooManyError, match="ask again in 4 s") as caught:
        limit.take("a", NOW)

    assert caught.value.retry_after_seconds == 4
    limit.take("a", Millis(NOW + 4_000))


def test_a_call_may_cost_more_than_one() -> None:
    """What it is counted in is named, and a refusal takes nothing."""
    limit = RateLimit(Rate(per_second=10.0, burst=100, what="addresses"))
    limit.take("a", NOW, 60)

    with pytest.raises(TooManyError, match="more than 100 addresses at once") as caught:
        limit.take("a", NOW, 60)

    assert caught.value.retry_after_seconds == 2
    limit.take("a", NOW, 40)


def test_a_clock_that_is_set_back_shuts_nobody_out() -> None:
    """It gives nothing, and counts on from where it stands."""
    limit = RateLimit(Rate(per_second=1.0, burst=1))
    limit.take("a", NOW)

    assert granted(limit, NOW - 3_600_000, 2) == 0
    assert granted(limit, NOW - 3_600_000 + 1_000, 2) == 1


@given(st.lists(st.integers(0, 5_000), max_size=50), st.integers(1, 9), st.floats(0.1, 50.0))
def test_nobody_gets_more_than_the_rate(pauses: list[int], burst: int, rate: float) -> None:
    """However the calls are spread: a burst, and what the time that passed has filled up."""
    limit = RateLimit(Rate(per_second=rate, burst=burst))
    now, count = NOW, granted(limit, NOW, 1)
    for pause in pauses:
        now = Millis(now + pause)
        count += granted(limit, now, 3)

    assert count <= burst + (now - NOW) / 1000 * rate + 1e-6


def test_what_is_left_is_told_and_not_taken() -> None:
    """With the time until there is one more; a full bucket waits for nothing."""
    rate = Rate(per_second=0.5, burst=3)
    limit = RateLimit(rate)

    assert limit.left("a", NOW) == limit.left("a", NOW) == Left(rate, 3, 0)
    limit.take("a", NOW)
    limit.take("a", NOW)
    assert limit.left("a", NOW) == Left(rate, 1, 2)
    assert limit.left("a", Millis(NOW + 1_500)) == Left(rate, 1, 1)
    assert limit.left("a", Millis(NOW + 2_000)) == Left(rate, 2, 2)


def test_a_caller_may_have_a_rate_of_its_own() -> None:
    """All calls of a minute at once, and then as they come back."""
    limit, own = RateLimit(Rate(per_second=1.0, burst=1)), per_minute(120)
    for _ in range(120):
        limit.take("a", NOW, rate=own)

    assert (own.window_seconds, limit.left("a", NOW, own)) == (60, Left(own, 0, 1))
    with pytest.raises(TooManyError, match="more than 120 calls at once and 2 a second"):
        limit.take("a", NOW, rate=own)
    assert granted(limit, NOW, 2, who="b") == 1
