"""Records that wait for their commit, and the visitors that wait with them.

A visitor goes when the record is durable, or when the budget is over: then the
visitor goes first, and the record is late.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from milepost.epochs import PublicEpoch
from milepost.logs import get_log
from regional_logger.remember import Memory

log = get_log(__name__)


@dataclass(slots=True)
class Pending:
    """A record that waits for its commit, with or without its visitor."""

    memory: Memory
    epoch: PublicEpoch | None
    chars: int  # in all its texts
    leaves: float  # when its visitor goes, by the loop's clock
    gone: bool = False  # the visitor has
    durable: bool = False  # before that
    then: Callable[[], None] | None = None  # what the visitor's going means to others

    def go(self, *, durable: bool) -> None:
        """Let the visitor go."""
        self.gone, self.durable = True, durable
        then, self.then = self.then, None
        if then is not None:
            try:
                then()
            except Exception:  # one visitor's trouble is not the others'
                log.exception("answer.failed")

    async def over(self) -> bool:
        """Return when the visitor may go: whether the record is durable."""
        if not self.gone:
            told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then = lambda: None if told.done() else told.set_result(None)
            await told
        return self.durable


class Waiting:
    """The visitors that wait, in the order in which their budgets end.

    One timer for all of them: most are gone long before it looks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, let_go: Callable[[Pending], None]) -> None:
        self._loop, self._let_go = loop, let_go
        self._queue: deque[Pending] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __bool__(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self._queue)

    def add(self, pending: Pending) -> None:
        """Have the visitor of *pending* wait."""
        self._queue.append(pending)
        if self._timer is None:
            self._timer = self._loop.call_at(pending.leaves, self._look)

    def forget_gone(self) -> None:
        """Drop those in front who have gone."""
        while self._queue and self._queue[0].gone:
            self._queue.popleft()

    def let_all_go(self) -> None:
        """Let everybody go, whatever is left of their budgets."""
        while self._queue:
            pending = self._queue.popleft()
            if not pending.gone:
                self._let_go(pending)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Let those go whose budget is over, and look again when the next one's is."""
        now = self._loop.time()
        while self._queue and (self._queue[0].gone or self._queue[0].leaves <= now):
            pending = self._queue.popleft()
            if not pending.gone:
                self._let_go(pending)
        self._timer = None
        if self._queue:
            self._timer = self._loop.call_at(self._queue[0].leaves, self._look)
