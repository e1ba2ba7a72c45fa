"""The key server's schedule."""

from key_server.api import KeyServer
from key_server.audit import SUM_SECONDS
from key_server.destruction.destroyer import Destroyer
from key_server.issuing import Issuer
from key_server.periods import Period
from milepost.clock import Clock
from milepost.errors import ServiceError
from milepost.logs import get_log
from milepost.schedule import Schedule

log = get_log(__name__)

LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 1, 60
LOOKS_PER_EPOCH = 4


def look_seconds(period: Period) -> int:
    """Return how often to look, so that each epoch's beginning is noticed within it."""
    if not period.seconds:
        return LOOK_SECONDS_MAX
    return min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, period.seconds // LOOKS_PER_EPOCH))


async def run_jobs(server: KeyServer, period: Period, clock: Clock) -> None:
    """Look again and again, for ever."""

    async def step() -> float:
        await look(server.issuer)
        return look_seconds(period)

    async def write_sums() -> float:
        try:
            await server.trail.write_sums()
        except ServiceError as error:
            log.warning("step.failed", step="audit", code=error.code, reason=str(error))
        return SUM_SECONDS

    async def destroy() -> float:
        await destroy_due(server.destroyer)
        return look_seconds(period) if server.destroyer.emptied else LOOK_SECONDS_MIN

    schedule = Schedule(clock)
    schedule.add("epochs", step)
    schedule.add("audit", write_sums)
    schedule.add("destruction", destroy)
    schedule.add("copies", server.copier.step)
    await schedule.run()


async def look(issuer: Issuer) -> None:
    """Make what is due; an expected failure is told, and repaired by the next run."""
    try:
        await issuer.look()
    except ServiceError as error:
        log.warning("step.failed", step="epochs", code=error.code, reason=str(error))


async def destroy_due(destroyer: Destroyer) -> None:
    """Destroy what is due; an expected failure is told, and repaired by the next run."""
    try:
        await destroyer.look()
    except ServiceError as error:
        log.warning("step.failed", step="destruction", code=error.code, reason=str(error))
