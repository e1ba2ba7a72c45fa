"""What the parent does about what its workers tell: ring, replicate, count."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from milepost.logs import get_log
from milepost.stream.files import path_of
from milepost.vocabulary import StreamId
from regional_logger.bell import Bell
from regional_logger.replication import Keeper, StreamFile
from regional_logger.retire import remove_stillborn
from regional_logger.workers.crew import Worker
from regional_logger.workers.messages import (
    Closing,
    Committed,
    Counts,
    Failed,
    Message,
    Opened,
    Released,
    Serving,
)
from regional_logger.workers.sums import Summed

log = get_log(__name__)


class FrontOffice:
    """Deals with what workers tell."""

    def __init__(
        self,
        folder: Path,
        *,
        bell: Bell,
        keeper: Keeper,
        summed: Summed,
        words: Callable[[], Sequence[Message]],
    ) -> None:
        self._folder = folder
        self._bell, self._keeper, self._summed = bell, keeper, summed
        self._words = words
        self._writing: dict[int, set[StreamId]] = {}
        self._releasing: set[asyncio.Task[None]] = set()

    def greeting(self) -> Sequence[Message]:
        """Return the first words to a worker."""
        return self._words()

    def hear(self, worker: Worker, message: Message) -> None:
        """Deal with what *worker* told.  Nothing here waits: the next message may be urgent."""
        writing = self._writing.setdefault(worker.number, set())
        match message:
            case Committed():
                self._bell.ring()
            case Counts(samples):
                self._summed.take(worker.number, samples)
            case Serving():
                worker.serving = True
            case Opened(stream):
                writing.add(stream)
                self._keeper.opened(self._file(stream))
            case Closing(stream):
                writing.discard(stream)
                self._let_go(worker, stream)
            case Failed(stream):
                writing.discard(stream)
                self._keeper.failed(self._file(stream))
            case _:
                log.warning("message.not_for_the_parent", kind=type(message).__name__)

    async def bury(self, worker: Worker) -> None:
        """Deal with what *worker* left: its streams have lost their writer."""
        for stream in self._writing.pop(worker.number, set()):
            self._keeper.failed(self._file(stream))
        self._summed.end(worker.number)
        await asyncio.to_thread(remove_stillborn, self._folder)
        self._bell.ring()

    def _let_go(self, worker: Worker, stream: StreamId) -> None:
        async def release() -> None:
            await self._keeper.closing(self._file(stream))
            worker.tell((Released(stream),))

        task = asyncio.create_task(release())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    def _file(self, stream: StreamId) -> StreamFile:
        return StreamFile(stream, path_of(self._folder, stream))
