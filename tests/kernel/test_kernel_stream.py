"""Reading streams: what a file must be, and what a batch in it must be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost import sqlite
from milepost.batch import CHAIN_BYTES, Batch, TallyRow, first_chain, next_chain, tally_text
from milepost.database import open_database
from milepost.errors import RejectedError
from milepost.stream.reading import StreamFile, require_stream
from milepost.stream.verify import faults, well_formed
from milepost.vocabulary import Chain, KeyId, Millis, Seq
from milepost.wire import Cursor
from tests.kernel.kernel_values import NOW, STREAM, a_batch, a_header

HOUR = 3_600_000
BEGINNING = Cursor(Seq(0), first_chain(STREAM))
TALLY = tally_text((TallyRow(NOW - NOW % HOUR, 1, 0, 0, 0),))


def a_chain(count: int) -> list[Batch]:
    """Return the first batches of a stream, each of one record."""
    found: list[Batch] = []
    for seq in range(1, count + 1):
        before = found[-1].chain if found else BEGINNING.chain
        found.append(a_batch(a_header(seq, tally=TALLY), before))
    return found


def told(batches: list[Batch]) -> list[tuple[int, str]]:
    """Return seq and fault of those that have one."""
    return [(batch.header.seq, fault) for batch, fault in faults(batches, BEGINNING) if fault]


def test_what_was_written_has_no_fault() -> None:
    """And all of it is handed over."""
    batches = a_chain(4)

    assert told(batches) == []
    assert well_formed(batches, BEGINNING) == (batches, "")


@given(st.integers(0, 3), st.integers(0, CHAIN_BYTES * 8 - 1))
def test_a_damaged_batch_is_found_and_still_handed_over(place: int, bit: int) -> None:
    """Whichever it is: it can travel, and who counts it judges it by the chain."""
    batches = a_chain(4)
    chain = bytearray(batches[place].chain)
    chain[bit // 8] ^= 1 << bit % 8
    batches[place] = replace(batches[place], chain=Chain(bytes(chain)))

    # The one behind it is checked against the chain value in its row.
    assert {seq for seq, _ in told(batches)} == {place + 1, min(place + 2, 4)}
    assert well_formed(batches, BEGINNING) == (batches, "")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"count": -1}, "a number"),
        ({"epoch": 1 << 63}, "a number"),
        ({"first_ms": "x"}, "a number"),
        ({"batch": b"short"}, "another length"),
        ({"key": b"short"}, "another length"),
        ({"key": None}, "bytes"),
        ({"tally": "[7]"}, "not a batch"),
        ({"tally": b"[]x"}, "not a batch"),
    ],
)
def test_what_cannot_travel_ends_what_is_handed_over(changes: dict[str, Any], fault: str) -> None:
    """One such row in an answer would have the whole answer refused."""
    batches = a_chain(4)
    batches[1] = replace(batches[1], header=replace(batches[1].header, **changes))

    good, found = well_formed(batches, BEGINNING)

    assert good == batches[:1]
    assert found.startswith("batch 2: ")
    assert fault in found


def test_a_gap_ends_what_is_handed_over() -> None:
    """What is behind a row that is gone is not in order any more."""
    first, _, third = a_chain(3)

    assert well_formed([first, third], BEGINNING) == (
        [first],
        "batch 2: a gap: batch 3 comes after 1",
    )


def test_a_gap_is_named() -> None:
    """A row that is gone is as bad as one that is damaged."""
    first, _, third = a_chain(3)

    assert told([first, third]) == [(3, "a gap: batch 3 comes after 1")]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"count": 1_001}, "at most 1000 fit"),
        ({"first_ms": Millis(NOW + 1)}, "its first moment is after its last"),
        ({"key": KeyId(b"")}, "contradict each other"),
        ({"tally": "[]"}, "it tallies 0 records and holds 1"),
        ({"tally": "[[7, 1, 0, 0, 0]]"}, "an hour that is none"),
        ({"tally": "[7]"}, "not a batch"),
    ],
)
def test_what_no_writer_writes_is_found(changes: dict[str, Any], fault: str) -> None:
    """Also where the chain was computed over it."""
    header = replace(a_header(1, tally=TALLY), **changes)

    ((seq, found),) = told([a_batch(header, BEGINNING.chain)])

    assert seq == 1
    assert fault in found


@given(st.sampled_from(["records", "addresses", "chain"]), st.none() | st.text() | st.integers())
def test_a_row_of_anything_is_a_fault(field: str, value: Any) -> None:
    """Damage can turn a value into one of another type: that too is told, and nothing is raised."""
    (batch,) = a_chain(1)
    row = {"records": batch.records, "addresses": batch.addresses, "chain": batch.chain}

    assert told([Batch(header=batch.header, **{**row, field: value})]) != []


def test_a_chain_over_another_stream_is_none() -> None:
    """A batch cannot be moved from one file to another."""
    header = a_header(1, tally=TALLY, stream=b"t" * 16)
    chain = next_chain(first_chain(header.stream), header, b"r", b"")

    assert told([Batch(header=header, records=b"r", addresses=b"", chain=chain)]) != []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"SQLite format 3\x00", "does not begin like a database"),
        (b"x" * 200, "does not begin like a database"),
        (b"SQLite format 3\x00" + bytes(84), "a database, and not a stream"),
    ],
)
def test_what_is_no_stream_is_refused_with_a_sentence(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """Before SQLite touches it."""
    path = tmp_path / "some.db"
    path.write_bytes(content)

    with pytest.raises(RejectedError, match=reason):
        require_stream(path)


def test_a_stream_from_the_future_is_refused(tmp_path: Path) -> None:
    """With both versions, and what to do."""
    path = tmp_path / "some.db"
    connection = sqlite.connect(path)
    connection.execute(f"PRAGMA application_id={0x4D500001}")
    connection.execute("PRAGMA user_version=2")
    connection.close()

    with pytest.raises(RejectedError, match=r"version 2, newer than this program's 1: read it"):
        require_stream(path)


def test_a_stream_without_its_own_row_is_refused(tmp_path: Path) -> None:
    """Its writer died before it began."""
    path = tmp_path / "some.db"
    open_database(path, "stream").close()

    with pytest.raises(RejectedError, match="its writer died"), StreamFile.open(path):
        pass
