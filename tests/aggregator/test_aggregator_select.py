"""What of an answer is applied: the laws that make each batch count once."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from aggregator.pulling.select import RECORDS_PER_ANSWER_MAX, select
from milepost.batch import Batch
from milepost.record import RECORDS_MAX
from milepost.vocabulary import Chain, Seq, StreamId
from milepost.wire import Cursor, PullAnswer
from tests.aggregator.combined_world import Edge, FileOfBatches, an_epoch

EPOCH = an_epoch(7, Random(1))


def an_edge(*lengths: int) -> Edge:
    """Return an edge with a stream of each of *lengths*, of batches without records."""
    edge = Edge("dfw", 5)
    for length in lengths:
        stream = edge.begin()
        for _ in range(length):
            stream.add(EPOCH, [])
    return edge


def with_batches(edge: Edge, batches: list[Batch]) -> PullAnswer:
    """Return an answer of *edge* that brings *batches*."""
    return replace(edge.answer({}), batches=tuple(batches))


def counted(stream: FileOfBatches, count: int) -> None:
    """Add a batch that says it holds *count* records."""
    header = stream.add(EPOCH, []).header
    stream.batches.pop()
    stream.add_boxes(replace(header, count=count), b"box")


EDGE = an_edge(6, 4)
ALL = [batch for stream in EDGE.streams for batch in stream.batches]


@given(st.lists(st.lists(st.sampled_from(ALL), max_size=12), max_size=12))
def test_every_batch_is_applied_exactly_once_and_in_order(answers: list[list[Batch]]) -> None:
    """Repeats, overlaps, cuts and reordering neither lose, double nor swap a batch.

    Each answer is any selection of batches in any order; at the end comes a
    whole one.  What was applied is then each stream from first to last.
    """
    cursors: dict[StreamId, Cursor] = {}
    applied: list[Batch] = []
    for batches in [*answers, ALL]:
        selection = select(cursors, with_batches(EDGE, batches))
        cursors.update(selection.after)
        applied += selection.fresh

    for stream in EDGE.streams:
        assert [each for each in applied if each.header.stream == stream.id] == stream.batches
        assert cursors[stream.id] == Cursor(Seq(len(stream.batches)), stream.chain)


def test_a_gap_ends_its_stream_and_no_other() -> None:
    """What comes after something that is missing is not applied."""
    edge = an_edge(3, 3)
    first, second = edge.streams

    selection = select({}, with_batches(edge, [*first.batches[::2], *second.batches]))

    assert list(selection.fresh) == [first.batches[0], *second.batches]
    assert selection.faults == {first.id: "a gap: batch 3 came after 1"}


def test_a_stream_that_was_not_announced_is_refused() -> None:
    """A batch of a stream that nobody speaks for has no place."""
    edge = an_edge(1, 1)
    first, second = edge.streams
    answer = edge.answer({})

    selection = select({}, replace(answer, streams=answer.streams[1:]))

    assert list(selection.fresh) == second.batches
    assert selection.faults == {first.id: "not announced"}


def test_a_forked_stream_is_left_alone() -> None:
    """What the source itself calls a fork is not applied, whatever comes with it."""
    edge = an_edge(2, 1)
    first, second = edge.streams
    cursor = Cursor(Seq(1), Chain(bytes(32)))
    answer = replace(edge.answer({first.id: cursor}), batches=edge.answer({}).batches)

    selection = select({first.id: cursor}, answer)

    assert list(selection.fresh) == second.batches
    assert first.id not in selection.after


def test_an_answer_is_taken_in_bounded_pieces() -> None:
    """What would open to too many records is cut, and the cut goes on where it stopped."""
    edge = an_edge(0)
    (stream,) = edge.streams
    for _ in range(RECORDS_PER_ANSWER_MAX // RECORDS_MAX + 5):
        counted(stream, RECORDS_MAX)

    first = select({}, edge.answer({}))
    second = select(first.after, edge.answer({}))

    assert len(first.fresh) == RECORDS_PER_ANSWER_MAX // RECORDS_MAX
    assert [*first.fresh, *second.fresh] == stream.batches


def test_a_batch_of_too_many_records_is_set_aside() -> None:
    """A count that no batch can have would poison the sums it enters; its place is proven."""
    edge = an_edge(0)
    (stream,) = edge.streams
    counted(stream, (1 << 63) - 1)
    stream.add(EPOCH, [])

    selection = select({}, edge.answer({}))

    assert list(selection.fresh) == stream.batches[1:]
    assert "at most 1000" in selection.damaged[0].reason
