"""The pause before a process that died is started again."""

import pytest

from milepost.backoff import Backoff


@pytest.mark.parametrize(
    ("pause", "alive", "expected"),
    [(0.0, 0.0, 0.2), (0.2, 0.1, 0.4), (3.2, 0.1, 5.0), (5.0, 9.9, 5.0), (5.0, 10.0, 0.2)],
    ids=["first death", "doubles", "has a ceiling", "stays there", "a healthy life begins anew"],
)
def test_the_next_pause(pause: float, alive: float, expected: float) -> None:
    """Quick for an accident, slow for what cannot live, and forgetful of the distant past."""
    assert Backoff().after(pause, alive) == expected
