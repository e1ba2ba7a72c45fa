"""The private listener: pull, health, metrics."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from milepost.clock import Entropy
from milepost.health import Reasons, add_health
from milepost.http import guarded, json_body, json_response, new_app, principal_of
from milepost.tokens import ACKNOWLEDGE, PULL, TokenBook
from milepost.wire import parse_request
from regional_logger.handover import Handover

PULL_BYTES_MAX = 8 << 20  # cursors and acknowledgements of all streams that one machine may have


def private_app(
    *,
    tokens: TokenBook,
    handover: Handover,
    reasons: Callable[[], Reasons],
    entropy: Entropy,
    metrics_of: Collector = REGISTRY,
) -> web.Application:
    """Return the application behind the private listener."""

    async def pull(request: web.Request) -> web.Response:
        asked = parse_request(await json_body(request))
        principal = principal_of(request)
        if asked.acknowledged or asked.ended:
            principal.require(ACKNOWLEDGE)
        may_acknowledge = ACKNOWLEDGE in principal.scopes
        answer = await handover.pull(asked, may_acknowledge=may_acknowledge)
        return json_response(answer.to_json())

    app = new_app(entropy, tokens, body_bytes_max=PULL_BYTES_MAX)
    app.router.add_post("/v1/pull", guarded(PULL, pull))
    add_health(app, reasons, metrics_of)
    return app
