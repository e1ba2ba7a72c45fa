"""The pull protocol as values: what an aggregator asks an edge, and what it answers.

docs/protocol.md says it in prose.  Ids and chains travel in hex, boxes in base64.

Rules of this file:
- Pure.
- This is the door at which the network is disbelieved: whoever holds one of
  these values need not check its form again.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from milepost.batch import (
    CHAIN_BYTES,
    ID_BYTES,
    KEY_ID_BYTES,
    Batch,
    Header,
    hex_bytes,
    parse_tally,
    tally_text,
)
from milepost.errors import RejectedError
from milepost.vocabulary import (
    BatchId,
    Chain,
    Epoch,
    Generation,
    KeyId,
    LifeId,
    Millis,
    Seq,
    StreamId,
)

LIMIT_BYTES_DEFAULT, LIMIT_BYTES_MAX = 4 << 20, 16 << 20
WAIT_MS_MAX = 30_000
STREAMS_MAX = 10_000
INTEGER_MAX = (1 << 63) - 1


class Cursor(NamedTuple):
    """A place in a stream: the last batch that is known, and the chain up to it."""

    seq: Seq
    chain: Chain


class MeterRow(NamedTuple):
    """What a life's meter holds for one hour."""

    hour_ms: int
    accepted: int
    shed: int
    excluded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """What an aggregator wants to know, and what it has made safe."""

    reader: str
    generation: Generation
    cursors: Mapping[StreamId, Cursor] = field(default_factory=dict)
    acknowledged: Mapping[StreamId, Cursor] = field(default_factory=dict)
    ended: frozenset[LifeId] = frozenset()  # lives whose last meter is safe
    limit_bytes: int = LIMIT_BYTES_DEFAULT
    wait_ms: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what is sent."""
        return {
            "reader": [self.reader, self.generation],
            "cursors": _cursors_json(self.cursors),
            "acknowledged": _cursors_json(self.acknowledged),
            "ended": sorted(life.hex() for life in self.ended),
            "limit_bytes": self.limit_bytes,
            "wait_ms": self.wait_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run of one writer process."""

    id: LifeId
    worker: int
    started_ms: Millis
    alive: bool
    meter: tuple[MeterRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHead:
    """How far a stream goes."""

    id: StreamId
    life: LifeId
    created_ms: Millis
    open: bool
    last_seq: Seq
    last_chain: Chain
    records: int
    acknowledged: bool = False  # it is closed, and its end was acknowledged to this source


@dataclass(frozen=True, slots=True, kw_only=True)
class PullAnswer:
    """What an edge has."""

    region: str
    machine: str
    version: str
    lives: tuple[Life, ...]
    streams: tuple[StreamHead, ...]
    batches: tuple[Batch, ...]
    forks: tuple[StreamId, ...]
    unreadable: tuple[str, ...]
    more: bool

    def to_json(self) -> dict[str, Any]:
        """Return what is sent."""
        return {
            "source": {
                "region": self.region,
                "machine": self.machine,
                "version": self.version,
            },
            "lives": [
                {
                    "id": life.id.hex(),
                    "worker": life.worker,
                    "started_ms": life.started_ms,
                    "alive": life.alive,
                    "meter": [list(row) for row in life.meter],
                }
                for life in self.lives
            ],
            "streams": [
                {
                    "id": head.id.hex(),
                    "life": head.life.hex(),
                    "created_ms": head.created_ms,
                    "open": head.open,
                    "last_seq": head.last_seq,
                    "last_chain": head.last_chain.hex(),
                    "records": head.records,
                    "acknowledged": head.acknowledged,
                }
                for head in self.streams
            ],
            "batches": [batch_json(batch) for batch in self.batches],
            "forks": [stream.hex() for stream in self.forks],
            "unreadable": list(self.unreadable),
            "more": self.more,
        }


def batch_json(batch: Batch) -> dict[str, Any]:
    """Return a batch as it travels."""
    return {
        **header_json(batch.header),
        "records": base64.b64encode(batch.records).decode(),
        "addresses": base64.b64encode(batch.addresses).decode(),
        "chain": batch.chain.hex(),
    }


def header_json(header: Header) -> dict[str, Any]:
    """Return a batch's header as it travels."""
    return {
        "stream": header.stream.hex(),
        "seq": header.seq,
        "batch": header.batch.hex(),
        "count": header.count,
        "epoch": header.epoch,
        "key": header.key.hex(),
        "first_ms": header.first_ms,
        "last_ms": header.last_ms,
        "tally": [list(row) for row in parse_tally(header.tally)],
    }


def parse_request(document: Any) -> PullRequest:
    """Read a pull request, or refuse naming the field."""
    told = _mapping(document, "body")
    reader = told.get("reader")
    if not isinstance(reader, list) or len(reader) != 2 or not isinstance(reader[0], str):  # noqa: PLR2004
        msg = 'reader: want ["<id>", <generation>]'
        raise RejectedError(msg)
    return PullRequest(
        reader=reader[0][:64],
        generation=Generation(_integer(reader[1], "reader")),
        cursors=_cursors(told.get("cursors", {}), "cursors"),
        acknowledged=_cursors(told.get("acknowledged", {}), "acknowledged"),
        ended=_lives(told.get("ended", [])),
        limit_bytes=min(
            _integer(told.get("limit_bytes", LIMIT_BYTES_DEFAULT), "limit_bytes"), LIMIT_BYTES_MAX
        ),
        wait_ms=min(_integer(told.get("wait_ms", 0), "wait_ms"), WAIT_MS_MAX),
    )


def parse_answer(document: Any) -> PullAnswer:
    """Read a pull answer, or refuse naming the field."""
    told = _mapping(document, "answer")
    source = _mapping(told.get("source"), "source")
    return PullAnswer(
        region=_text(source.get("region"), "region"),
        machine=_text(source.get("machine"), "machine"),
        version=_text(source.get("version"), "version"),
        lives=tuple(map(_life, _list(told.get("lives"), "lives"))),
        streams=tuple(map(_head, _list(told.get("streams"), "streams"))),
        batches=tuple(map(_batch, _list(told.get("batches"), "batches"))),
        forks=tuple(_stream_id(each) for each in _list(told.get("forks"), "forks")),
        unreadable=tuple(
            _text(each, "unreadable") for each in _list(told.get("unreadable"), "unreadable")
        ),
        more=told.get("more") is True,
    )


def _life(value: Any) -> Life:
    told = _mapping(value, "life")
    rows = _list(told.get("meter"), "meter")
    try:
        meter = tuple(MeterRow(*(_integer(n, "meter") for n in row)) for row in rows)
    except TypeError as error:
        msg = "meter: want rows of hour, accepted, shed, excluded"
        raise RejectedError(msg) from error
    return Life(
        id=LifeId(hex_bytes(told.get("id"), ID_BYTES, "life")),
        worker=_integer(told.get("worker"), "worker"),
        started_ms=Millis(_integer(told.get("started_ms"), "started_ms")),
        alive=told.get("alive") is True,
        meter=meter,
    )


def _head(value: Any) -> StreamHead:
    told = _mapping(value, "stream")
    return StreamHead(
        id=_stream_id(told.get("id")),
        life=LifeId(hex_bytes(told.get("life"), ID_BYTES, "life")),
        created_ms=Millis(_integer(told.get("created_ms"), "created_ms")),
        open=told.get("open") is True,
        last_seq=Seq(_integer(told.get("last_seq"), "last_seq")),
        last_chain=_chain(told.get("last_chain")),
        records=_integer(told.get("records"), "records"),
        acknowledged=told.get("acknowledged") is True,
    )


def _batch(value: Any) -> Batch:
    told = _mapping(value, "batch")
    return Batch(
        header=header_from(told),
        records=box_from(told.get("records", ""), "records"),
        addresses=box_from(told.get("addresses", ""), "addresses"),
        chain=_chain(told.get("chain")),
    )


def header_from(value: Any) -> Header:
    """Read what `header_json` wrote, whatever stands beside it, or refuse naming the field."""
    told = _mapping(value, "batch")
    rows = _list(told.get("tally"), "tally")
    key = told.get("key")
    try:
        tally = tally_text(parse_tally(_tally_source(rows)))
    except (TypeError, ValueError, OverflowError) as error:
        msg = "tally: want rows of integers"
        raise RejectedError(msg) from error
    return Header(
        stream=_stream_id(told.get("stream")),
        seq=Seq(_integer(told.get("seq"), "seq")),
        batch=BatchId(hex_bytes(told.get("batch"), ID_BYTES, "batch")),
        epoch=Epoch(_integer(told.get("epoch"), "epoch")),
        key=KeyId(hex_bytes(key, KEY_ID_BYTES, "key") if key else b""),
        count=_integer(told.get("count"), "count"),
        first_ms=Millis(_integer(told.get("first_ms"), "first_ms")),
        last_ms=Millis(_integer(told.get("last_ms"), "last_ms")),
        tally=tally,
    )


def box_from(value: Any, what: str) -> bytes:
    """Read a box as it travels, or refuse naming *what*."""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        msg = f"{what}: want a box in base64"
        raise RejectedError(msg) from error


def _tally_source(rows: Sequence[Any]) -> str:
    return "[" + ",".join(str(list(map(int, row))) for row in rows) + "]"


def _cursors_json(cursors: Mapping[StreamId, Cursor]) -> dict[str, list[int | str]]:
    return {stream.hex(): [at.seq, at.chain.hex()] for stream, at in cursors.items()}


def _cursors(value: Any, what: str) -> dict[StreamId, Cursor]:
    told = _mapping(value, what)
    if len(told) > STREAMS_MAX:
        msg = f"{what}: more than {STREAMS_MAX} streams"
        raise RejectedError(msg)
    found = {}
    for stream, at in told.items():
        if not isinstance(at, list) or len(at) != 2:  # noqa: PLR2004
            msg = f'{what}: want {{"<stream>": [seq, "<chain>"]}}'
            raise RejectedError(msg)
        found[_stream_id(stream)] = Cursor(Seq(_integer(at[0], what)), _chain(at[1]))
    return found


def _lives(value: Any) -> frozenset[LifeId]:
    told = _list(value, "ended")
    if len(told) > STREAMS_MAX:
        msg = f"ended: more than {STREAMS_MAX} lives"
        raise RejectedError(msg)
    return frozenset(LifeId(hex_bytes(each, ID_BYTES, "ended")) for each in told)


def _stream_id(value: Any) -> StreamId:
    return StreamId(hex_bytes(value, ID_BYTES, "stream"))


def _chain(value: Any) -> Chain:
    return Chain(hex_bytes(value, CHAIN_BYTES, "chain"))


def _integer(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        msg = f"{what}: want a whole number that is not negative"
        raise RejectedError(msg)
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > 256:  # noqa: PLR2004
        msg = f"{what}: want a short text"
        raise RejectedError(msg)
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        msg = f"{what}: want an object"
        raise RejectedError(msg)
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        msg = f"{what}: want a list"
        raise RejectedError(msg)
    return value
