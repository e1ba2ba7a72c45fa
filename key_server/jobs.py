"""The key server's schedule."""

import asyncio
from datetime import UTC

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from key_server.issuing import Issuer
from key_server.periods import Period
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 1, 60
LOOKS_PER_EPOCH = 4


def look_seconds(period: Period) -> int:
    """Return how often to look, so that each epoch's beginning is noticed within it."""
    if not period.seconds:
        return LOOK_SECONDS_MAX
    return min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, period.seconds // LOOKS_PER_EPOCH))


async def run_jobs(issuer: Issuer, period: Period) -> None:
    """Run the schedule for ever.

    An expected error ends one run.  Anything else ends the process: the
    scheduler itself would go on as if nothing had happened.
    """
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_error(event: JobExecutionEvent) -> None:
        if not broken.done():
            broken.set_exception(event.exception)

    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_listener(on_error, EVENT_JOB_ERROR)
    scheduler.add_job(
        look,
        "interval",
        args=[issuer],
        seconds=look_seconds(period),
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,  # late is better than not at all
    )
    scheduler.start()
    try:
        await broken
    finally:
        scheduler.shutdown(wait=False)


async def look(issuer: Issuer) -> None:
    """Make what is due; an expected failure is told, and repaired by the next run."""
    try:
        await issuer.look()
    except ServiceError as error:
        log.warning("step.failed", step="epochs", code=error.code, reason=str(error))
