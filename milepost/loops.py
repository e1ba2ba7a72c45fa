"""The one shape of a loop that runs for as long as its service."""

from collections.abc import Awaitable, Callable

from milepost.clock import Clock
from milepost.errors import ServiceError
from milepost.logs import get_log

log = get_log(__name__)

BACKOFF_FACTOR = 2.0


async def repeat(
    clock: Clock,
    every_seconds: float,
    name: str,
    step: Callable[[], Awaitable[object]],
    *,
    backoff_seconds_max: float = 0.0,
) -> None:
    """Run *step* for ever, pausing between runs.

    What the world does to us, a ServiceError or an OSError, ends one run and
    never the loop; while errors go on the pause doubles up to
    *backoff_seconds_max*.  Anything else ends the process: a loop that has died
    quietly is worse than a restart.
    """
    pause = every_seconds
    while True:
        try:
            await step()
            pause = every_seconds
        except (ServiceError, OSError) as error:
            code = error.code if isinstance(error, ServiceError) else type(error).__name__
            log.warning("step.failed", step=name, code=code, reason=str(error))
            pause = max(every_seconds, min(pause * BACKOFF_FACTOR, backoff_seconds_max))
        await clock.sleep(pause)
