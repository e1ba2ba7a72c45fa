"""The calls with which edges report how far they are, and people look."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from link_registry.paging import refuse_unknown
from link_registry.positions.board import Board, Report, lag_of, report_from
from link_registry.store import LinkStore
from milepost.clock import Clock
from milepost.http import Handler, json_body, json_response
from milepost.links import FeedPlace
from milepost.vocabulary import Position

NO_CONTENT = 204


class Positions:
    """The positions as a resource."""

    def __init__(self, store: LinkStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._board = Board()

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers which call of `link_registry.api`."""
        return {"list_positions": self.read}

    async def report(self, request: web.Request) -> web.Response:
        """Note how far an edge is."""
        refuse_unknown(request.query)
        report = report_from(await json_body(request), self._clock.now())
        if report.place is not None:
            report = replace(report, place=self._store.fence.present(report.place))
        self._board.put(report, self._store.fence.history)
        return web.Response(status=NO_CONTENT)

    async def read(self, _request: web.Request) -> web.Response:
        """Answer with how far each edge is."""
        newest = self._store.place(await self._store.position())
        reports = self._board.reports(self._clock.now())
        return json_response(
            {
                "newest": str(newest),
                "machines": [await self._shown(each, newest) for each in reports],
            }
        )

    async def _shown(self, report: Report, newest: FeedPlace) -> dict[str, Any]:
        next_ms = None
        if report.place is not None and report.place.position < newest.position:
            following = Position(report.place.position + 1)
            next_ms = await self._store.changed_ms(following)
        now = self._clock.now()
        behind, behind_ms = lag_of(report, newest, next_ms, now)
        return {
            "region": report.region,
            "machine": report.machine,
            "place": str(report.place) if report.place else None,
            "behind": behind,
            "behind_ms": behind_ms,
            "silent_ms": max(0, now - report.heard_ms),
            "heard_ms": report.heard_ms,
        }
