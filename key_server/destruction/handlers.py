"""`/v1/destroy` and `/v1/receipts`: destroying by hand, and what has been destroyed."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from key_server.audit import RECEIPTS, AuditTrail
from key_server.destruction.destroyer import Destroyer, Prospect
from key_server.destruction.rules import Order
from key_server.metrics import CALLS
from milepost.errors import RejectedError
from milepost.health import Reasons
from milepost.http import guarded, json_body, json_response, principal_of
from milepost.receipts import What
from milepost.tokens import KEYS_READ, KEYS_WRITE
from milepost.vocabulary import Epoch

RECEIPTS_MAX = 1_000
NUMBER_MAX = 10**15


def add_destruction(
    app: web.Application,
    destroyer: Destroyer,
    trail: AuditTrail,
    identity: bytes,
    *,
    changed: Callable[[], Awaitable[None]],
) -> None:
    """Add the routes; *changed* hears when something was destroyed by hand."""

    async def prospect(request: web.Request) -> web.Response:
        CALLS.labels("destroy").inc()
        order = _order({**request.query, "epoch": _digits(request.query.get("epoch", ""), "epoch")})
        return json_response(_prospect_told(order, await destroyer.prospect(order)))

    async def destroy(request: web.Request) -> web.Response:
        CALLS.labels("destroy").inc()
        told = await json_body(request)
        if not isinstance(told, dict):
            msg = 'want {"epoch", "what", "force_clicks"?}'
            raise RejectedError(msg)
        force = told.get("force_clicks")
        if force is not None:
            force = _number(force, "force_clicks")
        receipt = await destroyer.by_hand(_order(told), force, principal_of(request).name)
        await changed()
        return json_response({"receipt": orjson.loads(receipt)})

    async def receipts(request: web.Request) -> web.Response:
        CALLS.labels("receipts").inc()
        trail.add_up(principal_of(request).name, RECEIPTS)
        after = _digits(request.query.get("after", "0"), "after")
        rows = await destroyer.receipts(after, RECEIPTS_MAX)
        told = [{"number": number, **orjson.loads(document)} for number, document in rows]
        return json_response({"identity": identity.hex(), "receipts": told})

    app.router.add_get("/v1/destroy", guarded(KEYS_WRITE, prospect))
    app.router.add_post("/v1/destroy", guarded(KEYS_WRITE, destroy))
    app.router.add_get("/v1/receipts", guarded(KEYS_READ, receipts))


def notes(destroyer: Destroyer) -> Reasons:
    """Return what a person should look into: what has been held back for too long."""
    if not destroyer.alarms:
        return {}
    oldest = destroyer.alarms[0]
    order, streams = oldest.order, ", ".join(oldest.guard.streams)
    text = (
        f"{len(destroyer.alarms)} secrets are held back for more than 7 days; the first is the "
        f"{order.what} of epoch {order.epoch}: {oldest.guard.why}"
    )
    return {"destruction": f"{text}; streams {streams}" if streams else text}


def _prospect_told(order: Order, prospect: Prospect) -> dict[str, Any]:
    guard = prospect.guard
    told = {
        "epoch": order.epoch,
        "what": order.what,
        "destroyed": not prospect.standing.holds(order.what),
        "held_back": guard is not None,
    }
    if guard is None:
        return {**told, "clicks": 0, "streams": []}
    return {
        **told,
        "clicks": guard.clicks,
        "known": guard.answered,
        "why": guard.why,
        "streams": list(guard.streams),
    }


def _order(told: dict[str, Any]) -> Order:
    epoch = _number(told.get("epoch"), "epoch")
    what = told.get("what")
    if not isinstance(what, str) or what not in set(What):
        msg = f"what: want one of {', '.join(What)}"
        raise RejectedError(msg)
    return Order(Epoch(epoch), What(what))


def _number(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < NUMBER_MAX:
        msg = f"{name}: want a number"
        raise RejectedError(msg)
    return value


def _digits(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        msg = f"{name}: want a number"
        raise RejectedError(msg)
    return int(text)
