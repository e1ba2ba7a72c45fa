"""Sealing batches whose records are not what they should be."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from milepost.batch import Header, parse_tally
from milepost.record import RECORDS_MAX, Body, Record
from milepost.seal import open_body
from milepost.vocabulary import BatchId, Epoch, KeyId, Seq, StreamId
from regional_logger.remember import Memory
from regional_logger.sealing import seal_whatever
from tests.edge.kit import FAR, NOON, Edge, Keys, a_record

MakeEdge = Callable[..., Edge]
KEYS = Keys(1, NOON, FAR)

anything = st.one_of(
    st.none(),
    st.text(max_size=9),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.binary(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.sets(st.integers(), max_size=3),
    st.just(object()),
    st.just("x" * (1 << 20)),
)


def broken(**changes: Any) -> Record:
    """Return a record with fields of any type."""
    return a_record("/broken")._replace(**changes)


def sealed(records: list[Record]) -> Body:
    """Return what a key holder finds in the box of a batch of *records*."""
    header = Header(
        stream=StreamId(bytes(16)),
        seq=Seq(1),
        batch=BatchId(bytes(16)),
        epoch=Epoch(1),
        key=KeyId(bytes(8)),
        count=len(records),
        first_ms=NOON,
        last_ms=NOON,
        tally="[]",
    )
    box, _ = seal_whatever(header, records, KEYS.public.record_key)
    return open_body(header, box, KEYS.record_secret)


@given(
    st.dictionaries(st.sampled_from(Record._fields), anything, max_size=4),
    st.integers(0, 2),
)
def test_whatever_one_record_is_the_others_arrive(changes: dict[str, Any], place: int) -> None:
    """In their places, and the one beside them as a record or as text with a reason."""
    others = [a_record("/one"), a_record("/two")]
    records = [*others[:place], broken(**changes), *others[place:]]

    body = sealed(records)

    placed = dict(body.placed())
    assert body.count == 3
    assert [placed[index] for index in range(3) if index != place] == others
    assert place in placed or [each.index for each in body.raw] == [place]
    assert all(each.reason for each in body.raw)


def test_a_batch_of_nothing_but_broken_records_fits() -> None:
    """However many: their text is cut until it does."""
    wide = {"host": ["\0" * 900], "path": "\0" * 900, "target": "\0" * 900, "agent": "\0" * 900}

    body = sealed([broken(**wide)] * RECORDS_MAX)

    assert len(body.raw) == RECORDS_MAX
    assert {each.reason for each in body.raw} == {"RejectedError: host: a value of another type"}


def test_records_that_are_too_much_together_cost_their_fields_only() -> None:
    """No batch is without a box, though its bound was misjudged."""
    body = sealed([a_record("/" + "x" * 400_000)] * 4)

    assert body.count == 4
    assert {each.reason for each in body.raw} == {"no room"}


async def test_the_journal_goes_on_over_a_broken_record(make_edge: MakeEdge) -> None:
    """Its waiter hears too: it is on disk, tallied as recorded, and the next batch is as ever."""
    edge = make_edge()
    edge.learn_keys()
    await edge.journal.start()
    waiting = [edge.offer("/one")]
    memory = Memory(broken(host="\ud800", agent=7), None)
    waiting.append(edge.offer_memory(memory))
    waiting.append(edge.offer("/two"))

    await asyncio.gather(*(done for done in waiting if done))
    last = edge.offer("/three")
    assert last is not None
    await last
    batches = (await edge.pull()).batches

    paths = [
        record.path
        for batch in batches
        for record in open_body(batch.header, batch.records, edge.keys.record_secret).records
    ]
    tallied = sum(row.recorded for each in batches for row in parse_tally(each.header.tally))
    assert sorted(paths) == ["/one", "/three", "/two"]
    assert (tallied, sum(batch.header.count for batch in batches)) == (4, 4)
