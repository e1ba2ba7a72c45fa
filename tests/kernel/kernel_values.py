"""Values and strategies that several kernel tests share."""

import nacl.bindings as sodium
from hypothesis import strategies as st

from milepost.batch import Batch, Header, TallyRow, first_chain, next_chain, tally_text
from milepost.record import Record
from milepost.vocabulary import (
    BatchId,
    Chain,
    Epoch,
    KeyId,
    LinkId,
    Millis,
    Seq,
    StreamId,
    VisitorHash,
)

STREAM = StreamId(b"s" * 16)
NOW = Millis(1_763_640_000_000)
PUBLIC_KEY, SECRET_KEY = sodium.crypto_box_seed_keypair(b"k" * 32)
EDGE_TOKEN = "milepost_" + "ab" * 32

words = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, (1 << 53) - 1)
moments = st.integers(0, 1 << 52).map(Millis)
ids = st.binary(min_size=16, max_size=16)

tallies = st.lists(st.builds(TallyRow, counts, counts, counts, counts, counts), max_size=5).map(
    tuple
)

headers = st.builds(
    Header,
    stream=ids.map(StreamId),
    seq=st.integers(1, 1 << 40).map(Seq),
    batch=ids.map(BatchId),
    epoch=st.integers(0, 1 << 40).map(Epoch),
    key=(st.just(b"") | st.binary(min_size=8, max_size=8)).map(KeyId),
    count=st.integers(0, 1_000),
    first_ms=moments,
    last_ms=moments,
    tally=tallies.map(tally_text),
)

chains = st.binary(min_size=32, max_size=32).map(Chain)

records = st.builds(
    Record,
    kind=words,
    time=moments,
    method=words,
    host=words,
    path=words,
    target=words,
    status=st.integers(100, 599),
    region=words,
    link=st.none() | words.map(LinkId),
    variant=st.none() | words,
    visitor=st.none() | ids.map(VisitorHash),
    country=st.none() | words,
    subdivision=st.none() | words,
    asn=st.none() | st.integers(0, 1 << 32),
    agent=st.none() | words,
    referer=st.none() | words,
    source=st.none() | words,
    source_kind=st.none() | words,
    range=st.none() | words,
    session=st.none() | words,
    ulid=st.none() | words,
    language=st.none() | words,
    opt_out=st.none() | st.booleans(),
    arguments=st.none() | words,
    cut=st.none() | words,
    oddity=st.none() | words,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def a_record(**changes: str | int | bytes | bool | None) -> Record:
    """Return an ordinary record, changed as told."""
    fields: dict[str, object] = {
        "kind": "link",
        "time": NOW,
        "method": "GET",
        "host": "example.com",
        "path": "/slug?from=letter",
        "target": "https://example.org/",
        "status": 302,
        "region": "dfw",
    }
    return build_record(fields | changes)


def build_record(fields: dict[str, object]) -> Record:
    """Build a record from loosely typed *fields*."""
    kind: type = Record
    record: Record = kind(**fields)
    return record


def a_header(
    seq: int = 1, *, count: int = 1, epoch: int = 7, tally: str = "[]", stream: bytes = STREAM
) -> Header:
    """Return the header of an ordinary batch."""
    return Header(
        stream=StreamId(stream),
        seq=Seq(seq),
        batch=BatchId(seq.to_bytes(16, "big")),
        epoch=Epoch(epoch),
        key=KeyId(b"keykeyke"),
        count=count,
        first_ms=NOW,
        last_ms=NOW,
        tally=tally,
    )


def a_batch(header: Header, before: Chain, records: bytes = b"r", addresses: bytes = b"") -> Batch:
    """Return the batch of *header* that follows *before*."""
    return Batch(
        header=header,
        records=records,
        addresses=addresses,
        chain=next_chain(before, header, records, addresses),
    )


def first_batch() -> Batch:
    """Return an ordinary first batch."""
    return a_batch(a_header(), first_chain(STREAM))
