"""The key server's schedule."""

from key_server.audit import SUM_SECONDS, AuditTrail
from key_server.copies.copier import Copier
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


async def run_jobs(
    issuer: Issuer,
    trail: AuditTrail,
    period: Period,
    clock: Clock,
    copier: Copier | None = None,
) -> None:
    """Look again and again, for ever."""

    async def step() -> float:
        await look(issuer)
        return look_seconds(period)

    async def write_sums() -> float:
        try:
            await trail.write_sums()
        except ServiceError as error:
            log.warning("step.failed", step="audit", code=error.code, reason=str(error))
        return SUM_SECONDS

    schedule = Schedule(clock)
    schedule.add("epochs", step)
    schedule.add("audit", write_sums)
    if copier is not None:
        schedule.add("copies", copier.step)
    await schedule.run()


async def look(issuer: Issuer) -> None:
    """Make what is due; an expected failure is told, and repaired by the next run."""
    try:
        await issuer.look()
    except ServiceError as error:
        log.warning("step.failed", step="epochs", code=error.code, reason=str(error))
