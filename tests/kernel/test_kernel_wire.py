"""The pull protocol as values."""

import contextlib
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.batch import Batch
from milepost.errors import RejectedError
from milepost.vocabulary import Generation, LifeId, Seq, StreamId
from milepost.wire import (
    LIMIT_BYTES_MAX,
    WAIT_MS_MAX,
    Cursor,
    Life,
    MeterRow,
    PullAnswer,
    PullRequest,
    StreamHead,
    parse_answer,
    parse_request,
)
from tests.kernel.kernel_values import (
    chains,
    counts,
    first_batch,
    headers,
    ids,
    json_values,
    moments,
    words,
)

seqs = st.integers(0, 1 << 40).map(Seq)
streams = ids.map(StreamId)
cursors = st.dictionaries(streams, st.builds(Cursor, seqs, chains), max_size=4)

requests = st.builds(
    PullRequest,
    reader=words,
    generation=moments.map(Generation),
    cursors=cursors,
    acknowledged=cursors,
    limit_bytes=st.integers(0, LIMIT_BYTES_MAX),
    wait_ms=st.integers(0, WAIT_MS_MAX),
)

answers = st.builds(
    PullAnswer,
    region=words,
    machine=words,
    version=words,
    lives=st.lists(
        st.builds(
            Life,
            id=ids.map(LifeId),
            worker=st.integers(0, 64),
            started_ms=moments,
            alive=st.booleans(),
            meter=st.lists(st.builds(MeterRow, counts, counts, counts, counts), max_size=2).map(
                tuple
            ),
        ),
        max_size=2,
    ).map(tuple),
    streams=st.lists(
        st.builds(
            StreamHead,
            id=streams,
            life=ids.map(LifeId),
            created_ms=moments,
            open=st.booleans(),
            last_seq=seqs,
            last_chain=chains,
            records=counts,
        ),
        max_size=2,
    ).map(tuple),
    batches=st.lists(
        st.builds(
            Batch,
            header=headers,
            records=st.binary(max_size=20),
            addresses=st.binary(max_size=20),
            chain=chains,
        ),
        max_size=2,
    ).map(tuple),
    forks=st.lists(streams, max_size=2).map(tuple),
    unreadable=st.lists(words, max_size=2).map(tuple),
    more=st.booleans(),
)


def an_answer() -> dict[str, Any]:
    """Return a small answer as it travels."""
    answer = PullAnswer(
        region="dfw",
        machine="m",
        version="0",
        lives=(),
        streams=(),
        batches=(first_batch(),),
        forks=(),
        unreadable=(),
        more=False,
    )
    return answer.to_json()


def travelled(document: Any) -> Any:
    """Return *document* as it arrives."""
    return orjson.loads(orjson.dumps(document))


@given(requests)
def test_a_request_comes_back(request: PullRequest) -> None:
    """Every cursor and every limit."""
    assert parse_request(travelled(request.to_json())) == request


@given(answers)
def test_an_answer_comes_back(answer: PullAnswer) -> None:
    """Every batch byte for byte, so that its chain still holds."""
    assert parse_answer(travelled(answer.to_json())) == answer


@given(json_values)
def test_nonsense_is_refused(document: Any) -> None:
    """At this door the network is disbelieved, and only with RejectedError."""
    for parse in (parse_request, parse_answer):
        with pytest.raises(RejectedError):
            parse(document)


@given(st.data())
def test_an_answer_with_nonsense_in_one_place_is_refused_or_read(data: st.DataObject) -> None:
    """Whatever stands in whichever field, no other error comes out."""
    document = an_answer()
    place: Any = data.draw(st.sampled_from([document, document["batches"][0], document["source"]]))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(json_values)

    with contextlib.suppress(RejectedError):
        assert isinstance(parse_answer(document), PullAnswer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seq", -1),
        ("seq", 1 << 63),
        ("seq", "1"),
        ("seq", True),
        ("batch", "ab"),
        ("chain", None),
        ("key", "abcd"),
        ("records", "not base64!"),
        ("records", None),
        ("tally", [[1, 2, 3]]),
        ("tally", [[1, 2, 3, 4, -5]]),
        ("tally", [5]),
        ("tally", {}),
        ("count", 1.5),
    ],
)
def test_a_batch_with_a_field_that_is_wrong(field: str, value: Any) -> None:
    """Refused here, where the field still has a name."""
    document = an_answer()
    document["batches"][0][field] = value

    with pytest.raises(RejectedError):
        parse_answer(document)


def test_limits_are_cut_to_what_an_edge_gives() -> None:
    """Asking for more is no mistake; it is not granted."""
    request = parse_request({"reader": ["a", 1], "limit_bytes": 1 << 40, "wait_ms": 1 << 40})

    assert request.limit_bytes == LIMIT_BYTES_MAX
    assert request.wait_ms == WAIT_MS_MAX


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "reader"),
        ({"reader": ["a"]}, "reader"),
        ({"reader": ["a", -1]}, "reader"),
        ({"reader": ["a", 1], "cursors": []}, "cursors"),
        ({"reader": ["a", 1], "cursors": {"ab": [1, "ab" * 32]}}, "stream"),
        ({"reader": ["a", 1], "cursors": {"ab" * 16: [1]}}, "cursors"),
        ({"reader": ["a", 1], "acknowledged": {"ab" * 16: [1, "ab"]}}, "chain"),
        ({"reader": ["a", 1], "wait_ms": "soon"}, "wait_ms"),
    ],
)
def test_a_request_is_refused_by_the_name_of_the_field(document: Any, field: str) -> None:
    """Who writes a second aggregator finds the slip."""
    with pytest.raises(RejectedError, match=field):
        parse_request(document)


def test_the_protocol_document_names_every_field() -> None:
    """docs/protocol.md is what a second implementation is written from."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    request = PullRequest(reader="a", generation=Generation(1)).to_json()
    named = [*request, *an_answer(), *an_answer()["batches"][0]]

    assert [name for name in named if json.dumps(name) not in text] == []
