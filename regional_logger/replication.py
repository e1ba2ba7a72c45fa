"""Which streams litestream holds: exactly those being written.

Old streams are never given to it; they are handed over.  When a stream closes,
litestream lets go while the writer still has the file open, for whoever
checkpoints must be alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from milepost.errors import ServiceError
from milepost.litestream import Litestream
from milepost.logs import get_log
from milepost.vocabulary import StreamId

log = get_log(__name__)


class NamedFile(Protocol):
    """A stream, as far as litestream is concerned."""

    @property
    def id(self) -> StreamId:
        """Return its name."""

    @property
    def path(self) -> Path:
        """Return where it lies."""


@dataclass(frozen=True, slots=True)
class StreamFile:
    """A stream that another process writes."""

    id: StreamId
    path: Path


class Keeper(Protocol):
    """Who has to know of streams that open and close."""

    @property
    def replicates(self) -> bool:
        """Tell whether litestream checkpoints, and the writer must not."""

    def opened(self, stream: NamedFile) -> None:
        """Hear of a new stream."""

    async def closing(self, stream: NamedFile) -> None:
        """Return when the writer may close *stream*."""

    def failed(self, stream: NamedFile) -> None:
        """Hear of a stream that must not be touched again."""


class StreamKeeper:
    """Tells litestream, if there is one, about streams that open and close."""

    def __init__(self, litestream: Litestream | None, region: str, machine: str) -> None:
        self._litestream = litestream
        self._place = f"{region}/{machine}"
        self.replicates = litestream is not None  # then it alone checkpoints

    def opened(self, stream: NamedFile) -> None:
        """Have *stream* replicated under a path of its own."""
        if self._litestream is not None:
            self._litestream.hold(stream.path, f"{self._place}/{stream.id.hex()}")

    async def closing(self, stream: NamedFile) -> None:
        """Let the last batches of *stream* leave the machine, then let go."""
        if self._litestream is None:
            return
        try:
            await self._litestream.release(stream.path)
        except ServiceError as error:  # it will be handed over all the same
            log.warning("replica.not_released", stream=stream.id.hex(), reason=str(error))

    def failed(self, stream: NamedFile) -> None:
        """Have litestream end rather than touch a file that failed."""
        if self._litestream is not None:
            self._litestream.forget(stream.path)
