"""The fence around one combined database: one process writes it, and old copies say that they are.

What holds after each step of `claim`:
1. taken: whoever held the database before fails at its next transaction, and the
   generation is higher if the database is not what its mark was written for;
2. marked: the next start finds the database as it is.  Dying before that costs a
   generation more, and nothing else.
"""

from pathlib import Path
from typing import Self

from aggregator.fencing import store
from aggregator.fencing.rules import next_generation
from milepost.clock import Clock, Entropy
from milepost.database import Readers, Writer
from milepost.logs import get_log
from milepost.mark.file import file_number, read_mark, write_mark
from milepost.mark.rules import Mark, why_new
from milepost.sqlite import Connection
from milepost.vocabulary import Generation

log = get_log(__name__)

HOLDER_BYTES = 16
MARK_SECONDS = 10.0


class Fence:
    """Holds the database *path* for this process, and knows its generation."""

    def __init__(
        self, path: Path, writer: Writer, readers: Readers, machine: str, clock: Clock
    ) -> None:
        self.generation = Generation(0)
        self._path = path
        self._writer = writer
        self._readers = readers
        self._machine = machine
        self._clock = clock
        self._marked: Mark | None = None

    @classmethod
    async def claim(
        cls,
        path: Path,
        writer: Writer,
        readers: Readers,
        *,
        machine: str,
        clock: Clock,
        entropy: Entropy,
    ) -> Self:
        """Take the database over; begin a new generation if it was made or restored."""
        fence = cls(path, writer, readers, machine, clock)
        holder = entropy(HOLDER_BYTES)
        mark, file, now = read_mark(path), file_number(path), clock.now()

        def work(db: Connection) -> tuple[Generation, str]:
            applied = store.applied(db)
            reason = why_new(mark, applied.held, machine, file)
            generation = applied.generation
            if reason or generation is None:
                generation = next_generation(generation, now)
            store.take(db, generation, holder)
            return generation, reason

        fence.generation, reason = await writer.transact(work)
        writer.require(lambda db: store.require_holder(db, holder))
        if reason:
            log.info("generation.begun", generation=fence.generation, reason=reason)
        await fence.mark()
        return fence

    async def rise(self, above: Generation, reason: str) -> None:
        """Begin a generation *above* that one, if that has not been done meanwhile."""
        if above != self.generation:
            return
        generation = next_generation(self.generation, self._clock.now())
        await self._writer.transact(lambda db: store.set_generation(db, generation))
        self.generation = generation
        log.warning("generation.begun", generation=generation, reason=reason)
        await self.mark()

    async def mark(self) -> None:
        """Note beside the database what it holds, if that has changed."""
        mark = Mark(
            name=str(self.generation),
            machine=self._machine,
            file=file_number(self._path),
            height=await store.last_applied(self._readers),
        )
        if mark != self._marked:
            write_mark(self._path, mark)
            self._marked = mark
