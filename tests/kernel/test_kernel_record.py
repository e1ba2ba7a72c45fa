"""Records, and how they travel."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import RejectedError
from milepost.record import RECORDS_MAX, Record, decode_records, encode_records
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
    assert decode_records(encode_records(kept)) == tuple(kept)


def test_a_field_that_no_record_has_costs_nothing() -> None:
    """Absent columns are left out of the body."""
    body = orjson.loads(encode_records([a_record(), a_record()]))

    assert set(body["columns"]) == set(COLUMNS)


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

    (record,) = decode_records(orjson.dumps(body))

    assert record.kind == "link"
