"""The gatekeeper: never no to what is in it, seldom yes to what is not, and small."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regional_logger.links.gatekeeper import SLOTS_MIN, Gatekeeper

MANY, BYTES_MAX, ERRORS_MAX = 100_000, 256_000, 0.01
KEY = b"\x01" * 32

places = st.tuples(st.sampled_from(("*", "a.example")), st.sampled_from(("/a", "/b", "/c", "/d")))


@pytest.mark.slow
@pytest.mark.parametrize("expected", [MANY, 99_000, 90_000, 50_000, 0])
def test_a_hundred_thousand_fit_whatever_was_expected(expected: int) -> None:
    """All are let in, at most 1 % of others is, and it takes 256 KB at most."""
    gatekeeper = Gatekeeper(KEY, expected)
    for number in range(MANY):
        gatekeeper.add("*", f"/{number}")

    assert all(gatekeeper.may_hold("*", f"/{number}") for number in range(MANY))
    errors = sum(gatekeeper.may_hold("*", f"/no-{number}") for number in range(MANY))
    assert errors / MANY <= ERRORS_MAX
    assert gatekeeper.size_bytes <= BYTES_MAX


@pytest.mark.slow
def test_what_is_taken_out_leaves_the_rest() -> None:
    """Half of them go: the other half is let in, those that went are not."""
    gatekeeper = Gatekeeper(KEY, MANY // 2)
    for number in range(MANY // 2):
        gatekeeper.add("*", f"/{number}")
    for number in range(0, MANY // 2, 2):
        assert gatekeeper.discard("*", f"/{number}")

    assert all(gatekeeper.may_hold("*", f"/{number}") for number in range(1, MANY // 2, 2))
    errors = sum(gatekeeper.may_hold("*", f"/{number}") for number in range(0, MANY // 2, 2))
    assert errors / (MANY // 4) <= ERRORS_MAX
    assert len(gatekeeper) == MANY // 4


@given(st.lists(st.tuples(st.booleans(), places), max_size=120))
def test_it_holds_what_its_history_says(steps: list[tuple[bool, tuple[str, str]]]) -> None:
    """However often a place is put in: it is in until it was taken out as often."""
    gatekeeper, held = Gatekeeper(KEY), Counter[tuple[str, str]]()
    for put, place in steps:
        if put:
            gatekeeper.add(*place)
            held[place] += 1
        elif held[place]:
            assert gatekeeper.discard(*place)
            held[place] -= 1

    for place, count in held.items():
        assert not count or gatekeeper.may_hold(*place)
    assert len(gatekeeper) == held.total()
    if not held.total():
        assert not any(gatekeeper._slots)


def test_one_place_may_be_in_it_more_often_than_two_buckets_hold() -> None:
    """It grows, and forgets none of them and none of the others."""
    gatekeeper = Gatekeeper(KEY)
    gatekeeper.add("*", "/other")
    before = gatekeeper.size_bytes
    for _ in range(30):
        gatekeeper.add("*", "/a")

    assert gatekeeper.size_bytes > before
    assert [gatekeeper.discard("*", "/a") for _ in range(31)] == [True] * 30 + [False]
    assert not gatekeeper.may_hold("*", "/a")
    assert gatekeeper.may_hold("*", "/other")


def test_another_key_marks_otherwise() -> None:
    """What passes one edge by chance does not pass the next, nor after a restart."""
    gatekeepers = [Gatekeeper(bytes([n]) * 32) for n in (1, 2)]
    marks = [{each._mark("*", f"/{number}") for number in range(1_000)} for each in gatekeepers]

    assert len(marks[0] & marks[1]) < 10


def test_a_place_has_two_buckets_that_lead_to_each_other() -> None:
    """Or one that moved over could not be found."""
    gatekeeper = Gatekeeper(KEY, SLOTS_MIN * 3)
    for number in range(1_000):
        fingerprint, bucket = gatekeeper._mark("*", f"/{number}")
        other = gatekeeper._other(fingerprint, bucket)

        assert gatekeeper._other(fingerprint, other) == bucket
        assert 0 < fingerprint < 1 << 16
        assert 0 <= min(bucket, other) <= max(bucket, other) < gatekeeper._buckets
