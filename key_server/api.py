"""What the key server answers.  docs/protocol.md is the contract.

No secret is held here for longer than its answer takes, and none is logged; who
asked for what is in the audit trail.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from key_server.audit import BACKUP, LIST, RECORD_KEY, SALTS, STATES, AuditTrail
from key_server.copies.copier import Copier
from key_server.destruction.destroyer import Destroyer
from key_server.destruction.handlers import add_destruction, notes
from key_server.hashing import BoxOpener, add_hashing
from key_server.issuing import Issuer
from key_server.metrics import CALLS
from key_server.periods import current, salts_due, state
from key_server.store import KeyStore
from key_server.wrapping import Purpose, Vault
from milepost.clock import Clock, Entropy
from milepost.errors import NotFoundError, RejectedError
from milepost.hashing import BODY_BYTES_MAX
from milepost.health import Reasons, add_health
from milepost.http import guarded, json_body, json_response, limited, new_app, principal_of
from milepost.logs import get_log
from milepost.rate import Rate, RateLimit
from milepost.tokens import EDGE, KEYS_READ, KEYS_WRITE, OPEN, MacKeys, TokenBook
from milepost.vocabulary import Epoch
from milepost.wire import WAIT_MS_MAX

log = get_log(__name__)

NOT_MODIFIED = 304
AUDIT_ROWS_MAX = 1_000

# Generous: all edges of an app may share one token, and a backlog of many epochs comes at once.
SALTS_RATE = Rate(per_second=200.0, burst=2_000)
RECORD_KEY_RATE = Rate(per_second=20.0, burst=500)


@dataclass(frozen=True, kw_only=True)
class KeyServer:
    """All that a handler needs."""

    issuer: Issuer
    store: KeyStore
    vault: Vault
    clock: Clock
    trail: AuditTrail
    destroyer: Destroyer
    copier: Copier
    macs: MacKeys = field(default_factory=MacKeys)


SERVER: web.AppKey[KeyServer] = web.AppKey("server", KeyServer)


def key_server_app(server: KeyServer, tokens: TokenBook, entropy: Entropy) -> web.Application:
    """Return the application that serves *server*."""
    app = new_app(entropy, tokens, body_bytes_max=BODY_BYTES_MAX)
    app[SERVER] = server
    app.router.add_get("/v1/epochs", guarded(EDGE, epochs, or_scope=OPEN))
    salt = limited(RateLimit(SALTS_RATE), server.clock, salts)
    app.router.add_get("/v1/salts", guarded(EDGE, salt))
    key = limited(RateLimit(RECORD_KEY_RATE), server.clock, record_key)
    app.router.add_get("/v1/epochs/{number}/record-key", guarded(OPEN, key))
    app.router.add_get("/v1/states", guarded(KEYS_READ, states))
    app.router.add_get("/v1/audit", guarded(KEYS_READ, audit))
    app.router.add_post("/v1/rotate", guarded(KEYS_WRITE, rotate))
    opener = BoxOpener(server.store, server.vault, server.trail, server.macs)
    add_hashing(app, opener, server.clock)
    add_destruction(
        app,
        server.destroyer,
        server.trail,
        server.issuer.identity,
        changed=server.copier.after_change,
    )
    add_health(app, lambda: reasons(server), notes=lambda: notes(server.destroyer))
    app.router.add_post("/v1/backup", guarded(KEYS_WRITE, backup))
    app.on_shutdown.append(release_waiters)
    return app


def reasons(server: KeyServer) -> Reasons:
    """Return what keeps the key server from being ready."""
    if current(server.issuer.spans, server.clock.now()) is None:
        return {"epoch": "no epoch holds this moment: is the clock right, and the disk writable?"}
    return {}


async def release_waiters(app: web.Application) -> None:
    """Answer all who wait, so that a stop takes no longer than it must."""
    app[SERVER].issuer.board.close()


async def epochs(request: web.Request) -> web.Response:
    """Answer with the signed list, or wait for one that the caller does not know."""
    CALLS.labels("epochs").inc()
    request.app[SERVER].trail.add_up(principal_of(request).name, LIST)
    known = {etag.value for etag in request.if_none_match or ()}
    board = request.app[SERVER].issuer.board
    if "*" in known:
        known.add(board.shown.etag)
    shown = await board.wait_for_other(known, _wait_ms(request) / 1000)
    headers = {"Cache-Control": "no-store", "ETag": f'"{shown.etag}"'}
    if shown.etag in known:
        return web.Response(status=NOT_MODIFIED, headers=headers)
    return web.Response(body=shown.document, content_type="application/json", headers=headers)


async def salts(request: web.Request) -> web.Response:
    """Answer with the current salt, and the next one when it is near."""
    CALLS.labels("salts").inc()
    server = request.app[SERVER]
    held = server.issuer.spans
    due = salts_due(held, server.clock.now())
    found: list[dict[str, Any]] = []
    for span in held:
        if span.number not in due or await server.store.salt(span.number) is None:
            continue
        await server.trail.note(principal_of(request).name, SALTS, span.number)
        wrapped = await server.store.salt(span.number)  # what is still there behind the note
        if wrapped is not None:
            salt = server.vault.unwrap(Purpose.SALT, span.number, wrapped)
            found.append(
                {
                    "epoch": span.number,
                    "start_ms": span.start_ms,
                    "end_ms": span.end_ms,
                    "salt": salt.hex(),
                }
            )
    return json_response({"salts": found})


async def record_key(request: web.Request) -> web.Response:
    """Answer with the secret half of an epoch's record key."""
    CALLS.labels("record_key").inc()
    server = request.app[SERVER]
    text = request.match_info["number"]
    number = Epoch(int(text)) if re.fullmatch(r"[0-9]{1,15}", text) else None
    if number is not None and await server.store.record_secret(number):
        await server.trail.note(principal_of(request).name, RECORD_KEY, number)
    # Read behind the note: what was destroyed while that was written is not given any more.
    held = None if number is None else await server.store.record_secret(number)
    if held is None:
        msg = f"there is no record key for epoch {text[:20]!r}: it is unknown or destroyed"
        raise NotFoundError(msg)
    epoch, wrapped = held
    secret = server.vault.unwrap(Purpose.RECORD, epoch.number, wrapped)
    log.info("record_key.given", epoch=epoch.number, to=principal_of(request).name)
    return json_response(
        {"epoch": epoch.number, "key": epoch.key_id.hex(), "record_key": secret.hex()}
    )


async def states(request: web.Request) -> web.Response:
    """Answer with where each epoch stands.  Nothing in it is secret."""
    CALLS.labels("states").inc()
    server = request.app[SERVER]
    server.trail.add_up(principal_of(request).name, STATES)
    issuer, now = server.issuer, server.clock.now()
    listed = [
        {
            "epoch": span.number,
            "state": state(span, now),
            "start_ms": span.start_ms,
            "end_ms": span.end_ms,
            "key": held.public.key_id.hex(),
            "salt_gone_ms": held.salt_gone_ms,
            "record_gone_ms": held.record_gone_ms,
        }
        for span, held in zip(issuer.spans, issuer.held, strict=True)
    ]
    return json_response(
        {
            "identity": issuer.identity.hex(),
            "version": issuer.board.shown.version,
            "epochs": listed,
        }
    )


async def rotate(request: web.Request) -> web.Response:
    """End the current epoch now, and answer with the one that begins."""
    CALLS.labels("rotate").inc()
    server = request.app[SERVER]
    issuer = server.issuer
    span = await issuer.rotate(principal_of(request).name)
    await server.copier.after_change()
    return json_response(
        {
            "epoch": span.number,
            "start_ms": span.start_ms,
            "end_ms": span.end_ms,
            "version": issuer.board.shown.version,
        }
    )


async def backup(request: web.Request) -> web.Response:
    """Make a copy of the keys on this machine; answer what it is called, never what it holds."""
    CALLS.labels("backup").inc()
    server = request.app[SERVER]
    told = await json_body(request)
    folder = told.get("to") if isinstance(told, dict) else ""
    named = isinstance(folder, str) and folder.startswith("/") and "\0" not in folder
    if folder is not None and not named:
        msg = "to: want a folder of the key server's machine, from / on"
        raise RejectedError(msg)
    await server.trail.note(principal_of(request).name, BACKUP)
    made = await server.copier.make(folder)
    return json_response(
        {"name": made.name, "bytes": made.size, "made_ms": made.made_ms, "until_ms": made.until_ms}
    )


async def audit(request: web.Request) -> web.Response:
    """Answer with rows of the audit trail, oldest first."""
    CALLS.labels("audit").inc()
    server = request.app[SERVER]
    await server.trail.write_sums()
    rows = await server.store.notes(_number(request, "after", "a row's number"), AUDIT_ROWS_MAX)
    number, chain = await server.store.trail_begins()
    return json_response(
        {
            "begins": {"number": number, "chain": chain.hex()},
            "rows": [row.to_json() for row in rows],
        }
    )


def _number(request: web.Request, name: str, wanted: str) -> int:
    text = request.query.get(name, "0")
    if not re.fullmatch(r"[0-9]{1,15}", text):
        msg = f"{name}: want {wanted}"
        raise RejectedError(msg)
    return int(text)


def _wait_ms(request: web.Request) -> int:
    return min(_number(request, "wait_ms", f"0..{WAIT_MS_MAX}"), WAIT_MS_MAX)
