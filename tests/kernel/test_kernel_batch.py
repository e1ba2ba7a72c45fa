"""Batches: their bytes, tally and chain."""

from dataclasses import fields, replace
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.batch import (
    HOUR_MS,
    Header,
    TallyRow,
    add_tallies,
    first_chain,
    hex_bytes,
    hour_of,
    next_chain,
    parse_tally,
    part,
    take_part,
    tally_text,
)
from milepost.errors import RejectedError
from milepost.vocabulary import Chain, Millis
from tests.kernel.kernel_values import STREAM, a_batch, a_header, chains, headers, moments, tallies

FIELDS = [field.name for field in fields(Header)]
OTHER = {
    "stream": b"o" * 16,
    "seq": 1 << 41,
    "batch": b"o" * 16,
    "epoch": 1 << 41,
    "key": b"other",
    "count": 1_001,
    "first_ms": 1 << 53,
    "last_ms": 1 << 53,
    "tally": "other",
}


def changed(header: Header, name: str) -> Header:
    """Return *header* with another value in the field *name*."""
    values = {field: getattr(header, field) for field in FIELDS}
    return Header(**(values | {name: OTHER[name]}))


@given(headers, chains, st.binary(max_size=50), st.binary(max_size=50))
def test_a_batch_follows_what_it_was_written_after(
    header: Header, before: Chain, records: bytes, addresses: bytes
) -> None:
    """The chain says so, whatever the batch holds."""
    assert a_batch(header, before, records, addresses).follows(before)


@pytest.mark.parametrize("name", FIELDS)
@given(header=headers, before=chains)
def test_any_other_field_breaks_the_chain(name: str, header: Header, before: Chain) -> None:
    """Nothing in a header can be changed afterwards, first and last time included."""
    batch = a_batch(header, before)

    assert not replace(batch, header=changed(header, name)).follows(before)


@given(headers, chains, st.binary(max_size=20), st.binary(max_size=20), st.binary(min_size=1))
def test_any_other_box_breaks_the_chain(
    header: Header, before: Chain, records: bytes, addresses: bytes, more: bytes
) -> None:
    """Neither box can be changed, and bytes cannot move from one to the other."""
    batch = a_batch(header, before, records, addresses)

    assert not replace(batch, records=records + more).follows(before)
    assert not replace(batch, addresses=more + addresses).follows(before)
    moved = replace(batch, records=records + addresses, addresses=b"")
    assert moved.follows(before) == (not addresses)


@given(headers, chains, chains)
def test_a_batch_follows_one_place_only(header: Header, before: Chain, other: Chain) -> None:
    """A batch cannot be taken out, put in, or moved."""
    assert a_batch(header, before).follows(other) == (before == other)


def test_the_bytes_are_those_that_the_module_describes() -> None:
    """Streams are never migrated: this value may not change for as long as there are any."""
    header = a_header(tally="[[1,2,3,4,5]]")
    written = (
        STREAM
        + (1).to_bytes(8, "big")
        + (1).to_bytes(16, "big")
        + (7).to_bytes(8, "big")
        + b"\0\0\0\x08keykeyke"
        + (1).to_bytes(8, "big")
        + 2 * (1_763_640_000_000).to_bytes(8, "big")
        + b"\0\0\0\x0d[[1,2,3,4,5]]"
    )
    before = blake2b(STREAM, digest_size=32).digest()
    after = blake2b(before + written + b"\0\0\0\1r" + b"\0\0\0\0", digest_size=32).digest()

    assert first_chain(header.stream) == before
    assert header.to_bytes() == written
    assert next_chain(Chain(before), header, b"r", b"") == after


@given(tallies)
def test_a_tally_comes_back(tally: tuple[TallyRow, ...]) -> None:
    """What was counted is what is read."""
    assert parse_tally(tally_text(tally)) == tally


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "{}x",
        '"abc"',
        "[5]",
        "[[1,2,3,4]]",
        "[[1,2,3,4,5,6]]",
        "[[1,2,3,4,-5]]",
        "[[1,2,3,4,5.5]]",
        "[[1,2,3,4,true]]",
        '[["1",2,3,4,5]]',
        "[[9007199254740992,2,3,4,5]]",
        "[" + ",".join(["[1,2,3,4,5]"] * 1_001) + "]",
    ],
)
def test_what_is_no_tally(text: str) -> None:
    """A count is a whole number that any sum of them leaves in 8 bytes."""
    with pytest.raises(RejectedError, match="not a tally"):
        parse_tally(text)


@given(st.lists(tallies, max_size=4))
def test_tallies_add_up(parts: list[tuple[TallyRow, ...]]) -> None:
    """No visit is lost in a sum, and each hour stands in it once."""
    rows = [row for tally in parts for row in tally]

    total = add_tallies(rows)

    assert [row.hour_ms for row in total] == sorted({row.hour_ms for row in rows})
    for column in range(1, 5):
        assert sum(row[column] for row in total) == sum(row[column] for row in rows)


@given(moments)
def test_an_hour_holds_its_moments(moment: Millis) -> None:
    """Half-open: the first millisecond is in, the end is not."""
    hour = hour_of(moment)

    assert hour <= moment < hour + HOUR_MS
    assert hour % HOUR_MS == 0


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_parts_come_back(values: list[bytes]) -> None:
    """Whatever the parts hold, they cannot run into each other."""
    data, at, found = b"".join(map(part, values)), 0, []

    while at < len(data):
        value, at = take_part(data, at)
        found.append(value)

    assert found == values


@given(st.binary(max_size=20), st.integers(0, 30))
def test_a_part_that_was_cut_off_is_refused(value: bytes, keep: int) -> None:
    """Reading never goes past the end."""
    whole = part(value)
    data = whole[: min(keep, len(whole) - 1)]

    with pytest.raises(RejectedError, match="cut off"):
        take_part(data, 0)


@pytest.mark.parametrize("value", [None, 5, "", "ab", "zz" * 4, "ab" * 5, b"abcd", ["ab"]])
def test_hex_of_another_size_is_refused_by_name(value: object) -> None:
    """The refusal says which field, and what it should have been."""
    with pytest.raises(RejectedError, match="chain: want 8 hex digits"):
        hex_bytes(value, 4, "chain")
