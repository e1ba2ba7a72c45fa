"""Whatever happens, each batch counts exactly once (I2, I3): the real store against a small model.

And the other way round: with any one of the five laws broken that the protocol
rests on, such a history is found.
"""

import asyncio
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregator.hits.store import HitWriter
from aggregator.opening import store as sealed
from aggregator.opening.batches import Outcome
from aggregator.pulling import intake
from aggregator.pulling.select import Selection
from aggregator.pulling.standing import Hole, beginning
from aggregator.store import Store
from milepost.batch import Batch
from milepost.errors import UnavailableError
from milepost.sqlite import Connection
from milepost.vocabulary import BatchId, StreamId
from milepost.wire import Cursor, PullAnswer
from tests.aggregator.histories import NAMES, Step, live_through
from tests.aggregator.histories_machine import Laws

STEPS_MAX, NUMBER_MAX = 40, 63
SEEDS_MAX = 300
KILLED_EACH = 10
Patch = pytest.MonkeyPatch

histories = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, NUMBER_MAX)),
    min_size=STEPS_MAX // 4,
    max_size=STEPS_MAX,
)


def live(steps: list[Step], laws: Laws | None = None) -> None:
    """Live through *steps* in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live_through(Path(folder), steps, laws))


@settings(max_examples=15)
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


def forget_ids(patch: Patch) -> None:
    """Take a batch for a new one each time it comes."""
    apply = sealed.apply_batch

    def apply_again(db: Connection, hits: HitWriter, outcome: Outcome) -> str:
        batch = outcome.batch
        if db.execute("SELECT 1 FROM applied WHERE batch = ?", (batch.header.batch,)).fetchone():
            header = replace(batch.header, batch=BatchId(os.urandom(16)))
            outcome = replace(outcome, batch=replace(batch, header=header))
        return apply(db, hits, outcome)

    patch.setattr(sealed, "apply_batch", apply_again)


def no_names_anew(patch: Patch) -> Laws:
    """Edges go on in the streams that they find, and nobody looks at the chain (A)."""
    patch.setattr(Batch, "follows", lambda *_: True)
    return Laws(a_life_begins_a_stream=False, cursors_have_a_chain=False)


def two_transactions(patch: Patch) -> Laws:
    """Hits first, cursors after that, if nothing comes in between; and no ids (B)."""
    forget_ids(patch)
    apply, times = Store.apply, itertools.count(1)

    async def apply_in_two(
        self: Store, source: str, answer: PullAnswer, selection: Selection, *rest: Any
    ) -> Counter[str]:
        outcomes, now = rest
        await apply(self, source, answer, replace(selection, after={}), outcomes, now)
        if next(times) % KILLED_EACH == 0:
            msg = "killed in between"
            raise UnavailableError(msg)
        return await apply(self, source, answer, replace(selection, fresh=()), [], now)

    patch.setattr(Store, "apply", apply_in_two)
    return Laws()


def no_order(patch: Patch) -> Laws:
    """Whatever an answer brings is applied, wherever the cursor is; and no ids (C)."""
    forget_ids(patch)

    def select_all(
        places: Mapping[StreamId, Cursor],
        answer: PullAnswer,
        holes: Mapping[StreamId, Collection[Hole]] | None = None,
    ) -> Selection:
        del holes
        ends = {
            batch.header.stream: Cursor(batch.header.seq, batch.chain) for batch in answer.batches
        }
        before = {stream: places.get(stream) or beginning(stream) for stream in ends}
        return Selection(fresh=answer.batches, before=before, after=ends)

    patch.setattr(intake, "select", select_all)
    return Laws()


def acknowledged_at_commit(patch: Patch) -> Laws:
    """What is committed is acknowledged, copied or not (D)."""
    del patch
    return Laws(copied_before_acknowledged=False)


def no_ids(patch: Patch) -> Laws:
    """A commit that seemed to fail is counted again when it comes in the next stream (E)."""
    forget_ids(patch)
    return Laws()


# What brings a batch a second time by itself: without it only the broken law is left to do so.
TWICE = frozenset({"fail", "copy", "fork", "roll back", "restore", "damage", "sweep"})


@pytest.mark.parametrize(
    ("weaken", "without"),
    [
        (no_names_anew, frozenset()),
        (two_transactions, TWICE),
        (no_order, TWICE),
        (acknowledged_at_commit, frozenset()),
        (no_ids, frozenset()),
    ],
)
def test_each_weakened_variant_is_caught(
    weaken: Callable[[Patch], Laws], without: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one of the laws broken, some history contradicts the model; not the simplest one."""
    laws = weaken(monkeypatch)
    names = [name for name in NAMES if name not in without]
    live([("commit", 0), ("pull", 0), ("commit", 0), ("pull", 0)], laws)

    for seed in range(SEEDS_MAX):
        chance = Random(seed)
        steps = [(chance.choice(names), chance.randint(0, NUMBER_MAX)) for _ in range(STEPS_MAX)]
        try:
            live(steps, laws)
        except AssertionError:
            return

    pytest.fail(f"no history among {SEEDS_MAX} was wrong")
