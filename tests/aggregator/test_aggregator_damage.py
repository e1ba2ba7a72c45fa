"""Damaged batches: each is set aside alone, if the stream is seen to go on behind it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.pulling.select import Selection, select
from milepost.batch import Batch
from milepost.vocabulary import Chain, StreamId
from milepost.wire import Cursor, PullAnswer
from tests.aggregator.combined_world import Edge, FileOfBatches, an_epoch

EPOCH = an_epoch(7, Random(1))
LENGTH = 6
Breaks = Callable[[Batch], Batch]


def in_the_box(batch: Batch) -> Batch:
    """Return *batch* with another byte in its box."""
    return replace(batch, records=batch.records + b"?")


def in_the_header(batch: Batch) -> Batch:
    """Return *batch* with another count."""
    return replace(batch, header=replace(batch.header, count=batch.header.count ^ 1))


def in_the_chain(batch: Batch) -> Batch:
    """Return *batch* with another chain value."""
    return replace(batch, chain=Chain(bytes([batch.chain[0] ^ 1]) + batch.chain[1:]))


def a_stream(*broken: tuple[int, Breaks], length: int = LENGTH) -> tuple[Edge, FileOfBatches]:
    """Return an edge with one stream whose batches at those seqs are broken."""
    edge = Edge("dfw", 5)
    stream = edge.begin()
    for _ in range(length):
        stream.add(EPOCH, [])
    for seq, breaks in broken:
        stream.batches[seq - 1] = breaks(stream.batches[seq - 1])
    return edge, stream


def closed(answer: PullAnswer) -> PullAnswer:
    """Return *answer* of an edge whose streams are all closed."""
    return replace(answer, streams=tuple(replace(head, open=False) for head in answer.streams))


def came_of(selection: Selection) -> tuple[list[int], list[int], list[str]]:
    """Return the seqs that are applied and those that are set aside, and the faults."""
    return (
        [batch.header.seq for batch in selection.fresh],
        [each.batch.header.seq for each in selection.damaged],
        list(selection.faults.values()),
    )


@pytest.mark.parametrize(
    ("broken", "applied", "aside", "refused"),
    [
        ([(3, in_the_box)], [1, 2, 4, 5, 6], [3], ""),
        ([(3, in_the_header)], [1, 2, 4, 5, 6], [3], ""),
        ([(1, in_the_box)], [2, 3, 4, 5, 6], [1], ""),
        ([(3, in_the_chain)], [1, 2, 3, 4, 5, 6], [], ""),
        ([(1, in_the_chain), (5, in_the_chain)], [1, 2, 3, 4, 5, 6], [], ""),
        ([(2, in_the_box), (4, in_the_box)], [1, 3, 5, 6], [2, 4], ""),
        ([(2, in_the_box), (3, in_the_box)], [1, 4, 5, 6], [2, 3], ""),
        ([(2, in_the_box), (3, in_the_chain)], [1, 3, 4, 5, 6], [2], ""),
        ([(6, in_the_box)], [1, 2, 3, 4, 5], [], "batch 6 does not follow the chain"),
        ([(5, in_the_box), (6, in_the_box)], [1, 2, 3, 4], [], "batch 5 does not follow the chain"),
        ([(seq, in_the_box) for seq in range(1, 7)], [], [], "batch 1 does not follow the chain"),
    ],
)
def test_what_comes_of_damage(
    broken: list[tuple[int, Breaks]], applied: list[int], aside: list[int], refused: str
) -> None:
    """What is vouched for by what follows is decided, and the rest is asked for again."""
    edge, stream = a_stream(*broken)

    selection = select({}, edge.answer({}))

    assert came_of(selection) == (applied, aside, [refused] if refused else [])
    last = max([0, *applied, *aside])
    place = selection.after.get(stream.id)
    assert (place.seq if place else 0) == last
    assert place is None or place.chain == stream.batches[last - 1].chain


@pytest.mark.parametrize(
    ("broken", "aside", "refused"),
    [
        ([(6, in_the_box)], [6], []),
        ([(5, in_the_box), (6, in_the_box)], [], ["batch 5 does not follow the chain"]),
    ],
)
def test_the_end_of_a_closed_stream_vouches_for_one(
    broken: list[tuple[int, Breaks]], aside: list[int], refused: list[str]
) -> None:
    """Nothing ever comes behind it; but that is weak proof, and not enough for several."""
    edge, _ = a_stream(*broken)

    assert came_of(select({}, closed(edge.answer({}))))[1:] == (aside, refused)


def test_the_end_of_an_open_stream_waits_for_the_next_batch() -> None:
    """What the next one proves needs no trust in an announcement."""
    edge, stream = a_stream((6, in_the_box))
    before = select({}, edge.answer({}))
    stream.add(EPOCH, [])

    after = select(before.after, edge.answer(before.after))

    assert came_of(after) == ([7], [6], [])


def test_a_gap_is_no_damage() -> None:
    """Nobody knows what was in it: nothing behind it is taken, and it is asked for again."""
    edge, stream = a_stream((3, in_the_box))
    del stream.batches[3]

    selection = select({}, edge.answer({}))

    assert came_of(selection) == ([1, 2], [], ["a gap: batch 5 came after 3"])


def test_damage_in_one_stream_holds_up_no_other() -> None:
    """Each is gone along by itself."""
    edge, _ = a_stream(*[(seq, in_the_box) for seq in range(1, 7)])
    other = edge.begin()
    other.add(EPOCH, [])

    selection = select({}, edge.answer({}))

    assert list(selection.fresh) == other.batches


def test_an_answer_of_another_history_is_no_damage() -> None:
    """Another source moved the cursor meanwhile: what it passed is not what is answered here."""
    _, stream = a_stream()
    other, forked = a_stream(length=2)
    forked.chance.seed(9)
    for _ in range(4):
        forked.add(EPOCH, [])
    place = Cursor(stream.batches[3].header.seq, stream.batches[3].chain)

    selection = select({stream.id: place}, other.answer({}))

    assert forked.id == stream.id
    assert came_of(selection) == ([], [], ["batch 4 is of another history"])


def test_a_batch_that_comes_as_it_was_written_fills_its_hole() -> None:
    """From a copy of the file, when the cursor has long passed it."""
    edge, stream = a_stream()
    good = stream.batches[2]
    place = Cursor(stream.batches[5].header.seq, stream.chain)
    hole = (good.header.seq, stream.batches[1].chain)

    filled = select({stream.id: place}, edge.answer({}), {stream.id: {hole}})
    stream.batches[2] = in_the_box(good)
    not_filled = select({stream.id: place}, edge.answer({}), {stream.id: {hole}})

    assert (list(filled.fresh), filled.after) == ([good], {})
    assert came_of(not_filled) == ([], [], [])


@given(
    st.dictionaries(
        st.integers(1, LENGTH), st.sampled_from([in_the_box, in_the_header, in_the_chain])
    ),
    st.lists(st.integers(1, LENGTH + 2), max_size=5),
)
def test_nothing_damaged_is_applied_and_nothing_whole_is_lost(
    broken: dict[int, Breaks], cuts: list[int]
) -> None:
    """However answers are cut: what is applied was written, each batch at most once, in order.

    Two whole batches behind it end all doubt, so that whatever was passed is
    either applied or set aside.
    """
    edge, stream = a_stream(*broken.items(), length=LENGTH + 2)
    _, written = a_stream(length=LENGTH + 2)
    places: dict[StreamId, Cursor] = {}
    applied: list[int] = []
    aside: list[int] = []
    for cut in [*cuts, LENGTH + 2, LENGTH + 2]:
        answer = edge.answer(places)
        selection = select(places, replace(answer, batches=answer.batches[:cut]))
        places.update(selection.after)
        applied += [each.header.seq for each in selection.fresh]
        aside += [each.batch.header.seq for each in selection.damaged]

    assert sorted(applied + aside) == list(range(1, LENGTH + 3))
    assert applied == sorted(applied)
    content = [replace(each, chain=Chain(b"")) for each in stream.batches]
    original = [replace(each, chain=Chain(b"")) for each in written.batches]
    assert all(content[seq - 1] == original[seq - 1] for seq in applied)
    # Behind two chain values in a row that are both damaged, nobody can tell.
    assert all(seq in broken or {seq - 1, seq - 2} <= broken.keys() for seq in aside)
