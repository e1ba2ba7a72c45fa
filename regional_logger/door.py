"""The public door: a visit comes in, its redirect goes out.

Nothing here waits for another machine.  The one wait is for the log's own disk,
and it is bounded: when the budget is over the visitor goes first, and the
record is counted late.
"""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from milepost.clock import Clock
from milepost.errors import InvariantError
from milepost.http import quiet_server_logger
from milepost.logs import get_log
from milepost.vocabulary import Region
from regional_logger.decide import Decision, FindLink, decide
from regional_logger.journal import Journal
from regional_logger.keyring import Keyring
from regional_logger.remember import Visit, client_address, remember

log = get_log(__name__)

KEEPALIVE_SECONDS = 75.0

REDIRECT_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Access-Control-Allow-Origin": "*",
}
PAGE_HEADERS = {"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8"}
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "*",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What answering needs at hand."""

    region: Region
    find_link: FindLink
    keyring: Keyring
    journal: Journal
    clock: Clock
    addresses: str
    client_ip: str
    durable: bool
    budget_seconds: float

    def server(self) -> web.Server:
        """Return the server to listen with."""
        return web.Server(
            self.answer,
            access_log=None,
            logger=quiet_server_logger(),
            keepalive_timeout=KEEPALIVE_SECONDS,
        )

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Decide, remember, answer."""
        try:
            decision = decide(request.method, request.raw_path, request.host, self.find_link)
            await self._record(request, decision)
        except InvariantError:
            raise
        except Exception:  # the visitor comes first, whatever is wrong with us
            log.exception("visit.failed")
            return web.Response(status=404, text="Nothing is linked at this address.\n")
        return respond(request.method, decision)

    async def _record(self, request: web.BaseRequest, decision: Decision) -> None:
        now = self.clock.now()
        if decision.kind is None:
            self.journal.exclude(now)
            return
        epoch = self.keyring.epoch_at(now)
        visit = Visit(
            time=now,
            method=request.method,
            raw_target=request.raw_path,
            host=request.host,
            headers=request.headers,
            address=client_address(request.headers, request.remote or "", self.client_ip),
        )
        memory = remember(
            visit,
            decision,
            region=self.region,
            salt=self.keyring.salt_of(epoch),
            addresses=self.addresses,
        )
        done = self.journal.offer(memory, epoch)
        if done is not None:
            await self._wait(done, visit)

    async def _wait(self, done: asyncio.Future[None], visit: Visit) -> None:
        if not self.durable:
            self.journal.late(visit.time)
            return
        try:
            async with asyncio.timeout(self.budget_seconds):
                await done
        except TimeoutError:
            self.journal.late(visit.time)


def respond(method: str, decision: Decision) -> web.Response:
    """Return *decision* as an HTTP answer."""
    if decision.target:
        headers = {**REDIRECT_HEADERS, "Location": decision.target}
        return web.Response(status=decision.status, headers=headers)
    if method == "OPTIONS":
        return web.Response(status=decision.status, headers=PREFLIGHT_HEADERS)
    body = decision.body.encode()
    return web.Response(status=decision.status, headers=PAGE_HEADERS, body=body)
