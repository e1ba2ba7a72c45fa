"""Records, and how they travel."""

from dataclasses import replace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import RejectedError
from milepost.record import (
    RECORDS_MAX,
    Body,
    RawRecord,
    Record,
    decode_records,
    encode_records,
    raw_record,
)
from tests.kernel.kernel_values import a_record, json_values, records

COLUMNS = {
    "kind": ["link"],
    "time": [0],
    "method": ["GET"],
    "host": ["h"],
    "path": ["/"],
    "target": [""],
    "status": [302],
    "region": ["dfw"],
}


@given(st.lists(records, max_size=5))
def test_records_come_back(kept: list[Record]) -> None:
    """Every field of every record, present or absent."""
    assert decode_records(encode_records(kept)) == Body(tuple(kept))


def test_a_field_that_no_record_has_costs_nothing() -> None:
    """Absent columns are left out of the body."""
    body = orjson.loads(encode_records([a_record(), a_record()]))

    assert set(body["columns"]) == set(COLUMNS)


@given(st.lists(records, max_size=5), st.sets(st.integers(0, 6), max_size=4))
def test_raw_records_keep_their_places(kept: list[Record], places: set[int]) -> None:
    """Between the others, whichever they are; a body without any is what it always was."""
    fitting = sorted(place for place in places if place < len(kept) + len(places))
    fitting = [place for number, place in enumerate(fitting) if place <= len(kept) + number]
    raw = tuple(RawRecord(index=place, reason="why", fields={"host": "h"}) for place in fitting)

    body = decode_records(encode_records(kept, raw))

    assert body == Body(tuple(kept), raw)
    assert [each for _, each in body.placed()] == kept
    assert sorted([*(index for index, _ in body.placed()), *fitting]) == list(range(body.count))
    assert "raw" not in orjson.loads(encode_records(kept))


@pytest.mark.parametrize(
    "raw",
    [
        [[1, "why", {}]],  # beyond the batch
        [[0, "why", {}], [0, "why", {}]],  # two in one place
        [[True, "why", {}]],
        [[0, 7, {}]],
        [[0, "why", {"host": 7}]],
        [[0, "why"]],
        {"0": "why"},
        [[0, "why", []]],
    ],
)
def test_raw_records_that_cannot_be_are_refused(raw: Any) -> None:
    """Each has a place of its own, a reason, and nothing but texts."""
    with pytest.raises(RejectedError):
        decode_records(orjson.dumps({"v": 1, "n": 1, "columns": {}, "raw": raw}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", None),
        ("host", ["h"]),
        ("status", "302"),
        ("asn", 1.5),
        ("opt_out", 1),
        ("visitor", "ab"),
        ("visitor", b"ab"),
    ],
)
def test_what_would_not_be_read_is_not_written(field: str, value: Any) -> None:
    """One value of another type would cost its whole batch on the other side."""
    with pytest.raises(RejectedError, match=field):
        encode_records([a_record(), a_record(**{field: value})])


class Hostile:
    """Something that cannot even be shown."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError


def test_whatever_was_there_becomes_text() -> None:
    """Cut, and such that it can be encoded."""
    broken = a_record(path="\ud800" * 900, agent="a" * 900)._replace(host=cast("str", Hostile()))

    raw = raw_record(3, broken, "x" * 900, 500)

    assert raw.fields["host"] == "<Hostile>"
    assert raw.fields["agent"] == "a" * 500
    assert len(raw.fields["path"]) == 500
    assert len(raw.reason) == 100
    assert raw_record(3, broken, "why", 0).fields == {}
    assert decode_records(encode_records([], [replace(raw, index=0)])).count == 1


@given(json_values)
def test_nonsense_is_refused(value: Any) -> None:
    """Whatever JSON a box holds, it is refused or it is nothing at all."""
    with pytest.raises(RejectedError):
        decode_records(orjson.dumps({"v": 1, "n": 1, "columns": value}))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_body_are_refused(body: bytes) -> None:
    """A box may hold anything: whoever has the public key can seal."""
    with pytest.raises(RejectedError):
        decode_records(body)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"v": 2}, "version 2, newer than this program's 1"),
        ({"n": 2}, "want 2 values"),
        ({"n": 0}, "want 0 values"),
        ({"n": RECORDS_MAX + 1}, "required columns"),
        ({"n": -1}, "required columns"),
        ({"n": "1"}, "not a body"),
        ({"columns": COLUMNS | {"time": ["now"]}}, "time: a value of another type"),
        ({"columns": COLUMNS | {"time": [True]}}, "time: a value of another type"),
        ({"columns": COLUMNS | {"kind": [None]}}, "kind: a value of another type"),
        ({"columns": COLUMNS | {"host": [["h"]]}}, "host: a value of another type"),
        ({"columns": COLUMNS | {"asn": [1.5]}}, "asn: a value of another type"),
        ({"columns": COLUMNS | {"host": "h"}}, "host: want 1 values"),
        ({"columns": COLUMNS | {"visitor": ["abcd"]}}, "visitor: want 32 hex digits"),
        ({"columns": {"kind": ["link"]}}, "required columns"),
    ],
)
def test_what_cannot_have_been_encoded_is_refused(changes: dict[str, Any], text: str) -> None:
    """Whoever holds a record need not check the types of its fields."""
    body = {"v": 1, "n": 1, "columns": COLUMNS} | changes

    with pytest.raises(RejectedError, match=text):
        decode_records(orjson.dumps(body))


def test_a_column_that_is_not_known_is_passed_over() -> None:
    """A newer edge may tell more; an older aggregator keeps what it understands."""
    body = {"v": 1, "n": 1, "columns": COLUMNS | {"weather": ["fine"]}}

    (record,) = decode_records(orjson.dumps(body)).records

    assert record.kind == "link"
