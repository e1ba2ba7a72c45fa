"""Which links have a tag: the registry knows, and is asked at most every few seconds.

What it said last holds while it cannot be asked, for an hour at most: a link that has lost
its tag is seen for so long.  Without anything that it said, a token with tags sees nothing,
and is told why.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from aggregator.access.narrowing import EVERYTHING, Narrowing, narrowing_of
from milepost.client import Client
from milepost.clock import Clock
from milepost.errors import NarrowedError, ServiceError, UnavailableError
from milepost.logs import get_log
from milepost.tokens import Principal
from milepost.vocabulary import Millis

log = get_log(__name__)

FRESH_MS, STALE_MS, RETRY_MS = 5_000, 3_600_000, 2_000
LINKS_MAX, TAGS_KEPT_MAX = 10_000, 100
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class _Known:
    links: frozenset[str]
    at_ms: Millis


class TaggedLinks:
    """The links that have a tag, by tag."""

    def __init__(self, client: Client | None, clock: Clock) -> None:
        """Ask with *client*; None: there is no registry to ask."""
        self._client = client
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._failed_ms: Millis | None = None
        self._asking = asyncio.Lock()

    async def narrowing(self, who: Principal) -> Narrowing:
        """Return what *who* sees; UnavailableError where the registry would have to say."""
        if not who.narrowed:
            return EVERYTHING
        tagged = frozenset[str]()
        for tag in sorted(who.tags):
            tagged |= await self._links(tag)
            if len(tagged) > LINKS_MAX:
                msg = (
                    f"the token {who.name!r} is restricted to {who.restriction()}: that is more "
                    f"than {LINKS_MAX} links, too many to look for; restrict it to hosts"
                )
                raise NarrowedError(msg)
        return narrowing_of(who, tagged)

    async def _links(self, tag: str) -> frozenset[str]:
        known = self._known.get(tag)
        if known is None or self._age(known.at_ms) >= FRESH_MS:
            async with self._asking:  # who waited finds what another has asked
                known = self._known.get(tag)
                if known is None or self._age(known.at_ms) >= FRESH_MS:
                    known = await self._renewed(tag, known)
        return known.links

    async def _renewed(self, tag: str, known: _Known | None) -> _Known:
        if self._failed_ms is None or self._age(self._failed_ms) >= RETRY_MS:
            try:
                fresh = _Known(await self._ask(tag), self._clock.now())
            except ServiceError as error:
                self._failed_ms = self._clock.now()
                log.warning("tags.not_told", code=error.code, reason=str(error))
            else:
                self._failed_ms = None
                return self._kept(tag, fresh)
        if known is None or self._age(known.at_ms) >= STALE_MS:
            msg = "which links have the token's tags cannot be told now; ask again"
            raise UnavailableError(msg)
        return known

    def _kept(self, tag: str, known: _Known) -> _Known:
        self._known[tag] = known
        self._known.move_to_end(tag)
        if len(self._known) > TAGS_KEPT_MAX:
            self._known.popitem(last=False)
        return known

    async def _ask(self, tag: str) -> frozenset[str]:
        if self._client is None:
            msg = "this aggregator knows no link registry (MILEPOST_LINKS_URL)"
            raise UnavailableError(msg)
        found, cursor = set[str](), ""
        while len(found) <= LINKS_MAX:  # one too many is enough to be refused
            params = {"tag": tag, "limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            links, cursor = _page(await self._client.get("/v1/links", params))
            found.update(links)
            if not cursor:
                break
        return frozenset(found)

    def _age(self, at_ms: Millis) -> int:
        return abs(self._clock.now() - at_ms)  # a clock that was set back makes nothing fresh


def _page(told: Any) -> tuple[list[str], str]:
    try:
        return [str(link["id"]) for link in told["links"]], str(told["next"] or "")
    except (KeyError, TypeError) as error:
        msg = "the registry's answer is no page of links"
        raise UnavailableError(msg) from error
