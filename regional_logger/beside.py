"""A thread beside the event loop, that does one thing after another.

A thread that wants the interpreter's lock is woken each time the loop lets go
of it, which is once for every request, and comes too late nearly always: under
load that costs more than what the thread is there for.  So the loop may stand by for
a moment, in which the thread has the lock for itself.  A disk that takes longer
than that has the loop go on, and for a while it is not waited for again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

STAND_BY_SECONDS = 0.002
SLOW_SECONDS = 0.05  # for so long a thread that took longer is not waited for


class Beside:
    """One thread and the loop it works for."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._slow_until = 0.0

    async def do(self, work: Callable[..., T], *args: Any, stand_by: bool = False) -> T:
        """Return what *work* returns; with *stand_by* nothing else runs for a moment."""
        job = self._pool.submit(work, *args)
        loop = asyncio.get_running_loop()
        if stand_by and loop.time() >= self._slow_until:
            if _is_over_soon(job):
                return job.result()
            self._slow_until = loop.time() + SLOW_SECONDS
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """End the thread when it has done what it was given."""
        self._pool.shutdown(wait=False)


def _is_over_soon(job: Future[Any]) -> bool:
    with contextlib.suppress(TimeoutError):
        job.exception(STAND_BY_SECONDS)  # returned, not raised: a disk may time out as well
        return True
    return False
