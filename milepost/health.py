"""`/livez`, `/readyz` and `/metrics`, the same on every service.

Live: the process answers.  Ready: it does what it is there for; if not, the
answer says why.  Reasons are sentences for people, keyed by a word for programs.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.registry import Collector

from milepost import __version__, sqlite
from milepost.http import json_response
from milepost.metrics import BUILD
from milepost.openapi import Answer, Call, Schema, object_of

Reasons = dict[str, str]

_TEXT: Schema = {"type": "string"}
_REASONS: Schema = {"type": "object", "additionalProperties": _TEXT}
READY = object_of(
    {"ready": {"type": "boolean"}, "reasons": _REASONS, "notes": _REASONS},
    required=("ready", "reasons"),
)
HEALTH_CALLS = (
    Call(
        name="livez",
        method="GET",
        path="/livez",
        meaning="Tell whether the process answers.",
        answer=Answer(meaning="it does", schema=object_of({"live": {"const": True}})),
        told_only=True,
    ),
    Call(
        name="readyz",
        method="GET",
        path="/readyz",
        meaning="Tell whether the service does what it is there for, and why not (503).",
        answer=Answer(meaning="it does", schema=READY),
        told_only=True,
    ),
    Call(
        name="metrics",
        method="GET",
        path="/metrics",
        meaning="Tell the metrics.",
        answer=Answer(meaning="Prometheus text", media="text/plain", schema=_TEXT),
        told_only=True,
    ),
)


def add_health(
    app: web.Application,
    reasons: Callable[[], Reasons],
    metrics_of: Collector = REGISTRY,
    *,
    notes: Callable[[], Reasons] = dict,
) -> None:
    """Add the three routes.

    *reasons* returns what keeps the service from being ready, *notes* what a person
    should look into although it is.
    """
    BUILD.info({"version": __version__, "sqlite": sqlite.VERSION})

    async def livez(_request: web.Request) -> web.Response:
        return json_response({"live": True})

    async def readyz(_request: web.Request) -> web.Response:
        missing, noted = reasons(), notes()
        told = {"ready": not missing, "reasons": missing}
        return json_response(
            {**told, "notes": noted} if noted else told, status=503 if missing else 200
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(metrics_of), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
