"""Taking a restored stream in, by the rules that hold for a pulled one.

It begins where the pull has ended.  If the copy does not know that place, because
it is shorter or has another history, it is walked from its beginning: what was
applied before is told by its id, and counts once.

What holds after each step of `take`: what an answer brought is durable together
with the cursor, so that dying in between means walking on from there.
"""

import asyncio
from pathlib import Path

from aggregator.pulling.intake import Intake
from aggregator.pulling.standing import beginning
from aggregator.replicas.names import Name
from aggregator.replicas.reading import Copy, answer_after, holds, look
from aggregator.store import Store
from milepost.errors import RejectedError
from milepost.wire import Cursor


class CopyTaker:
    """Takes in what restored streams hold."""

    def __init__(self, store: Store, intake: Intake) -> None:
        self._store = store
        self._intake = intake

    async def take(self, name: Name, path: Path) -> Copy:
        """Apply what nobody has applied of the stream at *path*; return what was there."""
        copy = await asyncio.to_thread(look, path, name)
        at = await self._begin(copy)
        await self._intake.take_copy(copy.answer(), at)  # what it promises, be it nothing
        while at.seq < copy.head.last_seq:
            answer = await asyncio.to_thread(answer_after, copy, at)
            selection = await self._intake.take_copy(answer, at)
            after = selection.after.get(name.stream)
            if after is None:
                raise RejectedError(selection.faults.get(name.stream, "nothing of it was taken"))
            at = after
        return copy

    async def _begin(self, copy: Copy) -> Cursor:
        stream = copy.head.id
        standing = (await self._store.standings([stream])).get(stream)
        if standing is None or standing.holes:  # what is damaged may be whole in the copy
            return beginning(stream)
        if await asyncio.to_thread(holds, copy, standing.cursor):
            return standing.cursor
        return beginning(stream)
