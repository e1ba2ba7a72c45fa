"""Whatever happens, each batch counts exactly once (I2, I3): the real store against a small model.

And the other way round: with any one of the five laws broken that the protocol
rests on, such a history is found.
"""

import asyncio
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.aggregator.histories import NAMES, Laws, Step, live_through

STEPS_MAX, NUMBER_MAX = 40, 63
SEARCHED_MAX = 400

histories = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, NUMBER_MAX)), max_size=STEPS_MAX
)


def live(steps: list[Step], laws: Laws | None = None) -> None:
    """Live through *steps* in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_through(Path(folder), steps, laws))


@settings(max_examples=40)
@given(histories)
def test_every_batch_counts_once_whatever_happens(steps: list[Step]) -> None:
    """The database holds what the model says, after each step and after all has healed."""
    live(steps)


@pytest.mark.slow
@settings(max_examples=1500)
@given(histories)
def test_every_batch_counts_once_in_many_histories(steps: list[Step]) -> None:
    """The same, far more often."""
    live(steps)


def search(laws: Laws, seeds: int = SEARCHED_MAX) -> int | None:
    """Return the seed of the first history in which the model is contradicted."""
    for seed in range(seeds):
        chance = Random(seed)
        steps = [(chance.choice(NAMES), chance.randint(0, NUMBER_MAX)) for _ in range(STEPS_MAX)]
        try:
            live(steps, laws)
        except AssertionError:
            return seed
    return None
