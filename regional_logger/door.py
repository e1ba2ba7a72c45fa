"""The public door: a visit comes in, its redirect goes out.

Nothing here waits for another machine.  The one wait is for the log's own disk,
and the journal bounds it: when the budget is over the visitor goes first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web
from multidict import CIMultiDictProxy

from milepost.clock import Clock
from milepost.logs import get_log
from milepost.vocabulary import Region
from regional_logger.decide import UNDECIDED, Decision, Rules, decide, settle
from regional_logger.facts import facts_of
from regional_logger.front import HTML_HEADERS, PAGE_HEADERS, REDIRECT_HEADERS, Admitted, Front
from regional_logger.journal import Journal
from regional_logger.keyring import Keyring
from regional_logger.links.table import FindLink
from regional_logger.longway import SERVER_NAME
from regional_logger.metrics import ODD, REFUSED_FOR
from regional_logger.place import FindPlace
from regional_logger.remember import Visit, client_address, remember, visitor_of

log = get_log(__name__)

ReadLink = Callable[[str, str], Awaitable[FindLink]]
"""(host, path) -> what finds the link of such a visit, once the disk has been asked."""

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
    rules: Rules
    keyring: Keyring
    journal: Journal
    clock: Clock
    addresses: str
    client_ip: str
    connections_max: int
    draw_key: bytes  # chance; draws variants for visitors who have no hash
    find_place: FindPlace | None = None  # None: nothing is looked up
    read_link: ReadLink | None = None  # None: every link is in memory

    def server(self) -> web.Server:
        """Return the server to listen with."""
        return Front(
            self.answer,
            self.admit,
            self.journal.let_all_go,
            connections_max=self.connections_max,
            clock=self.clock,
        )

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Let in a visit that aiohttp has read, wait if need be, answer."""
        # Not request.host: without the header that asks the name service, and everybody waits.
        method, path, host = request.method, request.raw_path, request.headers.get("Host", "")
        peer = request.remote or ""
        decision, pending = self.admit(method, path, host, request.headers, peer)
        if decision is UNDECIDED and self.read_link is not None:
            find_link = await self.read_link(host, path.partition("?")[0])
            rules = replace(self.rules, find_link=find_link)
            decision, pending = self.admit(method, path, host, request.headers, peer, rules=rules)
        if pending is not None:
            await pending.over()
        return respond(method, decision)

    def admit(
        self,
        method: str,
        raw_target: str,
        host: str,
        headers: CIMultiDictProxy[str],
        peer: str,
        *,
        rules: Rules | None = None,
    ) -> Admitted:
        """Decide what a visit gets, and remember it; whichever way it came.

        Nothing is remembered of one that is not decided: it comes again, with other *rules*.
        """
        now = self.clock.now()
        decision = decide(method, raw_target, host, now, rules or self.rules)
        if decision.kind is None:
            if decision is not UNDECIDED:
                self.journal.exclude(now)
            if decision.refusal is not None:
                REFUSED_FOR[decision.refusal].inc()
            return Admitted(decision, None)
        if decision.oddity is not None:
            ODD[decision.oddity].inc()
        try:
            visit = Visit(
                time=now,
                method=method,
                raw_target=raw_target,
                host=host,
                headers=headers,
                address=client_address(headers, peer, self.client_ip),
            )
            epoch = self.keyring.epoch_at(now)
            visitor = visitor_of(visit, self.keyring.salt_of(epoch), self.find_place)
            if decision.targeted is not None:
                facts = facts_of(visit, visitor, region=self.region, draw_key=self.draw_key)
                decision = settle(decision, facts)
            memory = remember(
                visit, decision, visitor, region=self.region, addresses=self.addresses
            )
            return Admitted(decision, self.journal.offer(memory, epoch))
        except Exception:  # the visitor comes first, whatever is wrong with the record
            log.exception("record.failed")
            self.journal.shed(now)
            return Admitted(settle(decision, None), None)


def respond(method: str, decision: Decision) -> web.Response:
    """Return *decision* as an HTTP answer."""
    if decision.target:
        headers = {**REDIRECT_HEADERS, "Location": decision.target}
        return web.Response(status=decision.status, headers=headers)
    if method == "OPTIONS":
        return web.Response(status=decision.status, headers=PREFLIGHT_HEADERS)
    body = decision.body.encode()
    headers = HTML_HEADERS if decision.html else PAGE_HEADERS
    return web.Response(status=decision.status, headers=headers, body=body)
