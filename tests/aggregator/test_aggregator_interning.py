"""The memory of which id a string has."""

from aggregator.hits.interning import CHARS_MAX, TextCache


def test_what_is_used_stays_and_the_rest_is_forgotten() -> None:
    """The memory is bounded, and strings that come again and again are in it."""
    cache = TextCache(10)
    cache.remember({"often": 1})
    for number in range(2, 100):
        cache.remember({f"once {number}": number})
        assert cache.get("often") == 1

    known = [number for number in range(2, 100) if cache.get(f"once {number}")]
    assert 4 <= len(known) <= 10
    assert known[-1] == 99


def test_long_strings_are_not_kept() -> None:
    """They rarely come twice, and would take the room of many."""
    cache = TextCache(10)
    cache.remember({"x" * (CHARS_MAX + 1): 1})

    assert cache.get("x" * (CHARS_MAX + 1)) is None
