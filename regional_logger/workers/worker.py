"""A worker's side: hear what the edge knows, tell what becomes of streams."""

import asyncio
from collections.abc import Callable

from milepost.clock import Clock
from milepost.epochs import verify_list
from milepost.errors import RejectedError
from milepost.logs import get_log
from milepost.vocabulary import StreamId
from regional_logger.bell import Bell
from regional_logger.keyring import Keyring
from regional_logger.replication import NamedFile
from regional_logger.workers.links import FarLinks
from regional_logger.workers.messages import (
    Begin,
    ChangedLink,
    Closing,
    Committed,
    End,
    Failed,
    KeyList,
    Message,
    Opened,
    Released,
    Reload,
    Salts,
    SomeLinks,
    TurnOver,
)
from regional_logger.workers.pipe import Pipe

log = get_log(__name__)

RELEASE_SECONDS_MAX = 90.0  # litestream may take 40 for its last sync, and 40 to let go


class FarBell(Bell):
    """Rings in the parent, where aggregators wait."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def ring(self) -> None:
        """Wake everybody who waits, wherever they are."""
        super().ring()
        self._pipe.mention(Committed())


class FarKeeper:
    """Has the parent, which alone talks to litestream, know of this worker's streams."""

    def __init__(self, pipe: Pipe, *, replicates: bool) -> None:
        self._pipe = pipe
        self.replicates = replicates
        self._closing: dict[StreamId, asyncio.Event] = {}
        self._alone = False

    def opened(self, stream: NamedFile) -> None:
        """Have *stream* replicated."""
        self._pipe.tell(Opened(stream.id))

    async def closing(self, stream: NamedFile) -> None:
        """Return when litestream has let go of *stream*, or nobody will say so any more."""
        if not self.replicates or self._alone:
            return
        released = self._closing[stream.id] = asyncio.Event()
        try:
            self._pipe.tell(Closing(stream.id))
            async with asyncio.timeout(RELEASE_SECONDS_MAX):
                await released.wait()
        except TimeoutError:
            log.warning("replica.not_released", stream=stream.id.hex(), reason="no word in time")
        finally:
            del self._closing[stream.id]

    def failed(self, stream: NamedFile) -> None:
        """Have litestream end rather than touch a file that failed."""
        self._pipe.tell(Failed(stream.id))

    def released(self, stream: StreamId) -> None:
        """Hear that litestream has let go."""
        if stream in self._closing:
            self._closing[stream].set()

    def left_alone(self) -> None:
        """Hear that the parent has gone."""
        self._alone = True
        for released in self._closing.values():
            released.set()


class Ear:
    """Does what the parent tells."""

    def __init__(
        self,
        pipe: Pipe,
        *,
        keyring: Keyring,
        links: FarLinks,
        keeper: FarKeeper,
        identity: bytes,
        clock: Clock,
    ) -> None:
        self._pipe = pipe
        self._keyring, self._links, self._keeper = keyring, links, keeper
        self._identity = identity
        self._clock = clock
        self._begun, self._ended = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self, turn_over: Callable[[], None]) -> None:
        """Begin to hear; *turn_over* is what the disk may need."""
        self._task = asyncio.create_task(self._listen(turn_over))

    async def close(self) -> None:
        """Hear no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self, turn_over: Callable[[], None]) -> None:
        try:
            async for message in self._pipe.messages():
                if isinstance(message, TurnOver):
                    turn_over()
                else:
                    self.hear(message)
        finally:
            self._keeper.left_alone()
            self._links.settle()
            self._begun.set()
            self._ended.set()

    async def begun(self) -> bool:
        """Wait for all that is known; return False if the end came before."""
        await self._begun.wait()
        if not self._ended.is_set():
            await self._links.settled()
        return not self._ended.is_set()

    async def until_end(self) -> None:
        """Return when it is time to end."""
        await self._ended.wait()

    def hear(self, message: Message) -> None:
        """Do what *message* says."""
        match message:
            case KeyList(document):
                self._take_list(document)
            case Salts(held):
                self._keyring.take_salts(held, self._clock.now())
            case SomeLinks(links, last):
                self._links.collect(links, last=last)
            case Reload():
                self._links.reload()
            case ChangedLink(applied):
                self._links.change(applied)
            case Released(stream):
                self._keeper.released(stream)
            case Begin():
                self._begun.set()
            case End():
                self._links.settle()
                self._begun.set()
                self._ended.set()
            case _:
                log.warning("message.not_for_workers", kind=type(message).__name__)

    def _take_list(self, document: object) -> None:
        try:
            self._keyring.take_list(verify_list(document, self._identity))
        except RejectedError as error:
            log.warning("keys.list_refused", reason=str(error))
