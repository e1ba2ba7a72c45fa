"""The edges of random histories, and the laws that they keep to unless a test breaks one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from aiohttp import web

from milepost.batch import Batch
from milepost.errors import ConflictError
from milepost.http import json_response, problem_json
from milepost.vocabulary import StreamId
from milepost.wire import Cursor, PullAnswer, PullRequest, StreamHead, parse_request
from tests.aggregator.combined_world import Edge, FileOfBatches


@dataclass
class Laws:
    """What edges and aggregator keep to; the tests break one at a time."""

    a_life_begins_a_stream: bool = True
    cursors_have_a_chain: bool = True
    copied_before_acknowledged: bool = True


class Machine(Edge):
    """An edge as the wire shows it, to which everything can happen."""

    def __init__(self, number: int, laws: Laws) -> None:
        super().__init__(f"r{number}", number)
        self._laws = laws
        self.shut: set[StreamId] = set()
        self.told: list[PullAnswer] = []
        self.late: PullAnswer | None = None  # an answer that comes instead of the next one
        self._generation = 0
        self.begin()

    def begin_life(self) -> None:
        """Begin anew, in a stream of its own if that law holds."""
        if self._laws.a_life_begins_a_stream:
            self.rotate()

    def rotate(self) -> FileOfBatches:
        """Close all there is, and begin a stream."""
        self.shut |= {stream.id for stream in self.streams}
        return self.begin()

    def retire(self) -> list[FileOfBatches]:
        """Forget what may be forgotten; return it."""
        gone = [stream for stream in self.streams if stream.id in self.acknowledged]
        self.streams = [stream for stream in self.streams if stream not in gone]
        return gone

    def answer(self, cursors: Mapping[StreamId, Cursor]) -> PullAnswer:
        """Return what this edge has beyond *cursors*."""
        found = {stream.id: self._after(stream, cursors) for stream in self.streams}
        batches = [batch for each in found.values() for batch in each or ()]
        return PullAnswer(
            region=self.region,
            machine=self.region,
            version="0.1.0",
            lives=(),
            streams=tuple(map(self._head, self.streams)),
            batches=tuple(batches[: self.limit]),
            forks=tuple(stream for stream, each in found.items() if each is None),
            unreadable=(),
            more=len(batches) > self.limit,
        )

    async def pull(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/pull`, and hear what may be forgotten."""
        asked = parse_request(orjson.loads(await request.read()))
        if asked.generation < self._generation:
            return problem_json(ConflictError("a newer database reads here"))
        if asked.generation > self._generation:
            self._generation, self.acknowledged = asked.generation, set()
        self._hear(asked)
        answer, self.late = self.late or self.answer(asked.cursors), None
        self.told.append(answer)
        return json_response(answer.to_json())

    def _after(
        self, stream: FileOfBatches, cursors: Mapping[StreamId, Cursor]
    ) -> list[Batch] | None:
        cursor = cursors.get(stream.id)
        if self._laws.cursors_have_a_chain:
            return stream.after(cursor)
        return stream.batches[cursor.seq if cursor else 0 :]

    def _head(self, stream: FileOfBatches) -> StreamHead:
        return replace(
            stream.head(),
            open=stream.id not in self.shut,
            acknowledged=stream.id in self.acknowledged,
        )

    def _hear(self, asked: PullRequest) -> None:
        for stream in self.streams:
            end = (len(stream.batches), stream.chain)
            if stream.id in self.shut and asked.acknowledged.get(stream.id) == end:
                self.acknowledged.add(stream.id)
