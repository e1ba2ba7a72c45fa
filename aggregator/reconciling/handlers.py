"""`GET /v1/reconciliation`: what became of every visit, and what is unaccounted."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from aggregator.opening.batches import TIME_MS_MAX
from aggregator.query.params import read_hours, rfc3339
from aggregator.reconciling.reckoner import Reckoner
from aggregator.reconciling.rules import Place, Reckoning, Span
from aggregator.reconciling.summing import (
    ALARMS_TOLD_MAX,
    COUNT_TOLD_MAX,
    Range,
    Summary,
    page,
    told,
)
from milepost.clock import Clock
from milepost.http import Handler, json_response


def reconciliation_handlers(reckoner: Reckoner, clock: Clock) -> Mapping[str, Handler]:
    """Return who answers."""

    async def reconciliation(request: web.Request) -> web.Response:
        asked = read_hours(list(request.query.items()), clock.now())
        wanted = Range(start_ms=asked.start_ms, end_ms=asked.end_ms, region=asked.region)
        return json_response(answer(await reckoner.reckon(wanted), asked.limit))

    return {"reconcile": reconciliation}


def answer(summary: Summary, limit: int) -> dict[str, Any]:
    """Return *summary* as it is told, with *limit* hours at most."""
    hours, rest = page(summary.hours, limit)
    return {
        "total": told(summary.total),
        "regions": [{"region": name, **told(one)} for name, one in summary.regions.items()],
        "unaccounted": [_alarm(*each) for each in summary.alarms[:ALARMS_TOLD_MAX]],
        "spans": [_span(each) for each in summary.spans],
        "hours": [_hour(*each) for each in hours],
        "next": None if rest is None else _moment(rest),
    }


def _hour(place: Place, one: Reckoning) -> dict[str, Any]:
    region, hour_ms = place
    return {"region": region, "hour": _moment(hour_ms), **told(one)}


def _alarm(place: Place, clicks: int) -> dict[str, Any]:
    region, hour_ms = place
    return {"region": region, "hour": _moment(hour_ms), "unaccounted": min(clicks, COUNT_TOLD_MAX)}


def _span(span: Span) -> dict[str, Any]:
    return {
        "region": span.region,
        "machine": span.machine,
        "life": span.life.hex(),
        "from": _moment(span.from_ms),
        "until": None if span.until_ms is None else _moment(span.until_ms),
    }


def _moment(moment_ms: int) -> str:
    """Write a moment; what an edge says may lie beyond the calendar."""
    return rfc3339(min(moment_ms, TIME_MS_MAX))
