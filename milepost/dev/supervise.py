"""All processes of a platform: kept running, then stopped in order."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from milepost.dev.child import Child
from milepost.dev.plan import Stage


async def keep_until(
    told: asyncio.Event, children: Sequence[Child], watch: Coroutine[Any, Any, None]
) -> None:
    """Keep *children* running, and *watch* beside them, until *told*; then drain them all.

    The first failure ends everything too, in the same order, and is raised at the end.
    """
    tasks = [asyncio.create_task(child.keep()) for child in children]
    watcher = asyncio.create_task(watch)
    waiter = asyncio.create_task(told.wait())
    done, _ = await asyncio.wait([waiter, watcher, *tasks], return_when=asyncio.FIRST_COMPLETED)
    watcher.cancel()
    waiter.cancel()
    await drain(children)
    await asyncio.gather(waiter, watcher, *tasks, return_exceptions=True)
    for task in done:
        task.result()  # raises what failed


async def drain(children: Sequence[Child]) -> None:
    """Stop *children* stage by stage: who takes in work goes before who is needed for it."""
    for stage in Stage:
        await asyncio.gather(*(child.stop() for child in children if child.process.stage is stage))


def kill(children: Sequence[Child]) -> None:
    """End *children* at once."""
    for child in children:
        child.kill()
