"""`GET` and `POST /v1/sources/abandon`: what would be written off, and writing it off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from aggregator.abandoning.rules import Prospect, of_source, of_stream
from aggregator.abandoning.store import find_stream, find_streams
from aggregator.discovery.sources import Sources
from aggregator.store import Store
from milepost.batch import ID_BYTES, hex_bytes
from milepost.clock import Clock
from milepost.database import Readers
from milepost.errors import ConflictError, NotFoundError, RejectedError
from milepost.http import Handler, json_response
from milepost.logs import get_log
from milepost.vocabulary import StreamId

log = get_log(__name__)

SOURCE_CHARS_MAX = 2_048
WANTED = "want one of stream (32 hex digits) and source (its url)"


@dataclass(frozen=True, slots=True)
class Target:
    """One stream, or one source with all its streams."""

    stream: StreamId | None = None
    source: str = ""


class Abandoning:
    """Judges and writes off."""

    def __init__(self, readers: Readers, store: Store, sources: Sources, clock: Clock) -> None:
        self._readers = readers
        self._store = store
        self._sources = sources
        self._clock = clock

    async def prospect(self, target: Target) -> Prospect:
        """Return what abandoning *target* means; ConflictError says why it may not be."""
        prospect = await self._judge(target)
        if prospect.refused:
            raise ConflictError(prospect.refused)
        return prospect

    async def abandon(self, target: Target) -> Prospect:
        """Write off, and return what."""
        prospect = await self.prospect(target)
        now = self._clock.now()
        if target.stream is not None:
            await self._store.abandon_stream(target.stream, now)
        else:
            await self._store.abandon_source(target.source, now)
        log.warning(
            "sources.abandoned",
            target=target.stream.hex() if target.stream is not None else target.source,
            streams=len(prospect.streams),
            records=sum(each.records for each in prospect.streams),
        )
        return prospect

    async def _judge(self, target: Target) -> Prospect:
        if target.stream is not None:
            candidate = await find_stream(self._readers, target.stream)
            if candidate is None:
                msg = (
                    f"no source ever announced a stream {target.stream.hex()}: there is no number "
                    "to write off; a file that cannot be read is deleted on its edge, and a "
                    "replica in the object store"
                )
                raise NotFoundError(msg)
            answers, unreadable = self._about(candidate.source)
            return of_stream(candidate, answers=answers, unreadable=unreadable)
        candidates = await find_streams(self._readers, target.source)
        if candidates is None:
            msg = f"no source {target.source} was ever known; `milepost sources` names them all"
            raise NotFoundError(msg)
        answers, unreadable = self._about(target.source)
        return of_source(target.source, candidates, answers=answers, unreadable=unreadable)

    def _about(self, url: str) -> tuple[bool, Sequence[str]]:
        """Return whether a source answers, and the files that it cannot read."""
        for puller in self._sources:
            if puller.url == url:
                answers = puller.last_success is not None and puller.last_error is None
                return answers, puller.unreadable
        return False, ()


def abandoning_handlers(
    readers: Readers, store: Store, sources: Sources, clock: Clock
) -> Mapping[str, Handler]:
    """Return who answers."""
    abandoning = Abandoning(readers, store, sources, clock)

    async def look(request: web.Request) -> web.Response:
        return json_response((await abandoning.prospect(read_target(request.query))).to_json())

    async def abandon(request: web.Request) -> web.Response:
        try:
            told = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            raise RejectedError(WANTED) from error
        return json_response((await abandoning.abandon(read_target(told))).to_json())

    return {"look_before_abandoning": look, "abandon": abandon}


def read_target(told: Any) -> Target:
    """Read what is to be abandoned, or refuse."""
    try:
        (name,) = told
        value = told[name]
    except (TypeError, ValueError) as error:
        raise RejectedError(WANTED) from error
    if name == "stream":
        return Target(stream=StreamId(hex_bytes(value, ID_BYTES, "stream")))
    if name == "source" and isinstance(value, str) and 0 < len(value) <= SOURCE_CHARS_MAX:
        return Target(source=value)
    raise RejectedError(WANTED)
