"""A schedule: one job per step, each of which says when it wants to run again.

A job never overlaps itself, because its next run is scheduled only when the one
before has ended, also when it was removed and added again meanwhile; and none
waits for another.  What no step may raise ends the
schedule: the scheduler itself would go on as if nothing had happened.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from milepost.clock import Clock

Step = Callable[[], Awaitable[float]]  # does its work, answers in how many seconds to do more
Ended = Callable[[], None]

# A run that is late runs all the same: there is no other that would make up for it.
JOB_DEFAULTS = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}


LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)


class Schedule:
    """Steps that run for as long as the service."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._steps: dict[str, Step] = {}
        self._busy: set[str] = set()  # due, pausing or running
        self._leaving: dict[str, Ended] = {}
        self._running: set[asyncio.Future[float]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=JOB_DEFAULTS)
        self._scheduler.add_listener(self._ended, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)

    def add(self, name: str, step: Step) -> None:
        """Run *step* under *name*, for the first time as soon as the schedule starts.

        One of that name that was removed and still runs is let finish first.
        """
        self._steps[name] = step
        if name not in self._busy:
            self._schedule(name, 0.0)

    def remove(self, name: str, ended: Ended) -> None:
        """Run the step under *name* no more; call *ended* once a run of it has finished."""
        self._steps.pop(name)
        if name in self._busy:
            self._leaving[name] = ended
        else:
            ended()

    async def run(self) -> None:
        """Keep the schedule until cancelled; raise what no step may raise."""
        self._scheduler.start()
        try:
            await self._failed
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self._scheduler.pause()
        self._scheduler.remove_all_jobs()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._clock.sleep(0)  # the jobs around the steps end
        self._scheduler.shutdown(wait=False)

    def _schedule(self, name: str, seconds: float) -> None:
        # The job is due at once and waits inside: a pause is a length of time, and a
        # clock that is set back must not make it longer.
        self._busy.add(name)
        self._scheduler.add_job(self._run, "date", run_date=LONG_AGO, args=[name, seconds], id=name)

    async def _run(self, name: str, seconds: float) -> float | None:
        task = asyncio.ensure_future(self._after(seconds, name))
        self._running.add(task)
        await asyncio.wait([task])
        self._running.discard(task)
        return None if task.cancelled() else task.result()

    async def _after(self, seconds: float, name: str) -> float:
        await self._clock.sleep(seconds)
        step = self._steps.get(name)
        return await step() if step else 0.0

    def _ended(self, event: JobExecutionEvent) -> None:
        if event.exception is not None:
            if not self._failed.done():
                self._failed.set_exception(event.exception)
        elif event.retval is not None:
            self._go_on(event.job_id, event.retval)

    def _go_on(self, name: str, seconds: float) -> None:
        self._busy.discard(name)
        ended = self._leaving.pop(name, None)
        if ended:
            ended()
        if name in self._steps:
            self._schedule(name, seconds)
