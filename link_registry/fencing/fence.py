"""The fence around the registry's database: one process writes it, and it tells a restore.

An edge resumes from a position within a history.  A database that was restored, or
rolled back, may give the same positions to other changes.  So each start begins
another history, and the database itself knows which ones that goes on from, and how
far they got: who was told more than that was told something else.  Where the mark
shows that the database is not the one that was here, it goes on from none, and each
edge takes a snapshot.

What holds after each step of `claim`:
1. taken: whoever held the database before fails at its next transaction, and the
   history is another, which goes on from the one before unless the database is not
   what its mark was written for;
2. marked: the next start finds the database as it is.  Dying before that costs
   another history, which is a snapshot for each edge and nothing else.
"""

import asyncio
from pathlib import Path
from typing import Self

from link_registry.fencing import store
from milepost.clock import Entropy
from milepost.database import Writer
from milepost.links import FeedPlace
from milepost.logs import get_log
from milepost.mark.file import file_number, read_mark, write_mark
from milepost.mark.rules import Mark, why_new
from milepost.sqlite import Connection
from milepost.vocabulary import Position

log = get_log(__name__)

HISTORY_BYTES = HOLDER_BYTES = 16
MARK_SECONDS = 1.0


class Fence:
    """Holds the database *path* for this process, and knows its history."""

    def __init__(self, path: Path, writer: Writer, machine: str, entropy: Entropy) -> None:
        self.history = ""
        self.earlier: dict[str, Position] = {}  # the histories it goes on from, up to there
        self._path = path
        self._writer = writer
        self._machine = machine
        self._entropy = entropy
        self._marked: Mark | None = None

    @classmethod
    async def claim(cls, path: Path, writer: Writer, *, machine: str, entropy: Entropy) -> Self:
        """Take the database over; begin a new history if it was made or restored."""
        fence = cls(path, writer, machine, entropy)
        holder = entropy(HOLDER_BYTES)
        mark, file = read_mark(path), file_number(path)

        def work(db: Connection) -> tuple[str, int]:
            held = store.held(db)
            reason = why_new(mark, held, machine, file)
            if reason:
                store.forget_earlier(db)
            else:
                store.end_history(db, held.height)
            fence.history = fence.new_history()
            fence.earlier = store.earlier(db)
            store.take(db, fence.history, holder)
            return reason, held.height

        reason, height = await writer.transact(work)
        writer.require(lambda db: store.require_holder(db, holder))
        if reason:
            log.info("history.begun", reason=reason)
        await fence.mark(Position(height))
        return fence

    def new_history(self) -> str:
        """Return a name that no history has had."""
        return self._entropy(HISTORY_BYTES).hex()

    def present(self, place: FeedPlace) -> FeedPlace:
        """Return *place* as one of the present history, if that goes on from there."""
        end = self.earlier.get(place.history)
        if end is None or place.position > end:
            return place
        return FeedPlace(self.history, place.position)

    async def look(self) -> None:
        """Keep the mark true, and end this process if another has taken the database over."""
        held = await self._writer.transact(store.held)
        await self.mark(Position(held.height))

    async def mark(self, height: Position) -> None:
        """Note beside the database what it holds, if that has changed."""
        mark = Mark(
            name=self.history, machine=self._machine, file=file_number(self._path), height=height
        )
        if mark != self._marked:
            await asyncio.to_thread(write_mark, self._path, mark)  # the feed waits for no disk
            self._marked = mark
