"""The public door: a visit comes in, its redirect goes out.

Nothing here waits for another machine.  The one wait is for the log's own disk,
and the journal bounds it: when the budget is over the visitor goes first.
"""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from milepost.clock import Clock
from milepost.logs import get_log
from milepost.vocabulary import Millis, Region
from regional_logger.decide import Decision, FindLink, decide
from regional_logger.front import SERVER_NAME, Front
from regional_logger.journal import Journal
from regional_logger.keyring import Keyring
from regional_logger.remember import Visit, client_address, remember

log = get_log(__name__)

REDIRECT_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Access-Control-Allow-Origin": "*",
    "Server": SERVER_NAME,
}
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Type": "text/plain; charset=utf-8",
    "Server": SERVER_NAME,
}
PREFLIGHT_HEADERS = {
    "Server": SERVER_NAME,
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
    connections_max: int

    def server(self) -> web.Server:
        """Return the server to listen with."""
        return Front(self.answer, connections_max=self.connections_max)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Decide, remember, answer."""
        decision = decide(request.method, request.raw_path, request.host, self.find_link)
        try:
            await self._record(request, decision)
        except Exception:  # the visitor comes first, whatever is wrong with the record
            log.exception("record.failed")
        return respond(request.method, decision)

    async def _record(self, request: web.BaseRequest, decision: Decision) -> None:
        now = self.clock.now()
        if decision.kind is None:
            self.journal.exclude(now)
            return
        done = self._offer(request, decision, now)
        if done is not None:
            await done

    def _offer(
        self, request: web.BaseRequest, decision: Decision, now: Millis
    ) -> asyncio.Future[bool] | None:
        """Hand the visit's record to the journal; count it as shed if it cannot be made."""
        epoch = self.keyring.epoch_at(now)
        visit = Visit(
            time=now,
            method=request.method,
            raw_target=request.raw_path,
            host=request.host,
            headers=request.headers,
            address=client_address(request.headers, request.remote or "", self.client_ip),
        )
        try:
            memory = remember(
                visit,
                decision,
                region=self.region,
                salt=self.keyring.salt_of(epoch),
                addresses=self.addresses,
            )
        except Exception:
            self.journal.shed(now)
            raise
        return self.journal.offer(memory, epoch)


def respond(method: str, decision: Decision) -> web.Response:
    """Return *decision* as an HTTP answer."""
    if decision.target:
        headers = {**REDIRECT_HEADERS, "Location": decision.target}
        return web.Response(status=decision.status, headers=headers)
    if method == "OPTIONS":
        return web.Response(status=decision.status, headers=PREFLIGHT_HEADERS)
    body = decision.body.encode()
    return web.Response(status=decision.status, headers=PAGE_HEADERS, body=body)
