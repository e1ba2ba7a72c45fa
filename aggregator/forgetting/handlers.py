"""`/v1/erase`, `/v1/retention` and `/v1/reclassify`: what is forgotten, or taken for another."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from aggregator.forgetting.ages.retention import Retention
from aggregator.forgetting.erasing import Eraser
from aggregator.forgetting.rules import Rule, Target, read_target
from aggregator.forgetting.store import State, count_named
from aggregator.query.params import rfc3339
from aggregator.reclassifying.reclassifier import Reclassifier, told
from milepost.clock import Clock
from milepost.database import QueryReaders
from milepost.errors import RejectedError
from milepost.http import Handler, json_body, json_response, principal_of

CALL_SECONDS = 2.0  # of work in one call: whoever calls goes on calling, and shows how far it is
COUNT_SECONDS_MAX = 60.0
DRY_RUN = "dry_run"


class Forgetting:
    """Answers the calls."""

    def __init__(
        self,
        eraser: Eraser,
        retention: Retention,
        reclassifier: Reclassifier,
        queries: QueryReaders,
        clock: Clock,
    ) -> None:
        self._eraser = eraser
        self._retention = retention
        self._reclassifier = reclassifier
        self._queries = queries
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """Return who answers."""
        return {
            "list_erased": self.rules,
            "erase": self.erase,
            "tell_retention": self.ages,
            "retain": self.retain,
            "reclassify": self.reclassify,
        }

    def notes(self) -> dict[str, str]:
        """Return what a person may want to know."""
        return self._eraser.notes()

    def taken(self) -> int:
        """Return what rises with the erase rules."""
        return self._eraser.taken

    async def rules(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/erase`."""
        del request
        return json_response({"rules": [self._told(each) for each in await self._eraser.states()]})

    async def erase(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/erase`."""
        body = await json_body(request)
        dry_run = _dry_run(body, more=1)
        target = read_target(body)
        if dry_run:
            return json_response(await self._prospect(target))
        who = principal_of(request).name
        state = await self._eraser.add(Rule(target=target, at_ms=self._clock.now(), who=who))
        return json_response({"rule": self._told(state)})

    async def ages(self, request: web.Request) -> web.Response:
        """Answer `GET /v1/retention`."""
        del request
        since = await self._retention.since()
        horizons = self._retention.horizons()
        return json_response(
            {
                "kinds": [
                    {"kind": kind}
                    | ({"before": rfc3339(horizons[kind])} if kind in horizons else {})
                    | ({"rows_since": rfc3339(since[kind])} if kind in since else {})
                    for kind in sorted(horizons.keys() | since.keys())
                ]
            }
        )

    async def retain(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/retention`."""
        dry_run = _dry_run(await json_body(request))
        horizons = self._retention.horizons()
        if dry_run:
            counts, more = await self._retention.count(), False
        else:
            counts, more = await self._retention.run(CALL_SECONDS)
        kinds = [
            {"kind": kind, "before": rfc3339(horizon_ms), "hits": counts.get(kind, 0)}
            for kind, horizon_ms in horizons.items()
        ]
        return json_response({"kinds": kinds, DRY_RUN: dry_run, "more": more})

    async def reclassify(self, request: web.Request) -> web.Response:
        """Answer `POST /v1/reclassify`."""
        if _dry_run(await json_body(request)):
            return json_response(told(await self._reclassifier.look()))
        return json_response((await self._reclassifier.run(CALL_SECONDS))._asdict())

    async def _prospect(self, target: Target) -> dict[str, Any]:
        hits, counted = await self._queries.ask(
            lambda db: count_named(db, target), seconds_max=COUNT_SECONDS_MAX
        )
        return {target.kind: target.told, DRY_RUN: True, "hits": hits} | (
            {"counted": counted} if counted is not None else {}
        )

    def _told(self, state: State) -> dict[str, Any]:
        rule = state.rule
        share = min(state.upto / state.until, 1.0) if state.until else 1.0
        return {
            rule.target.kind: rule.target.told,
            "at": rfc3339(rule.at_ms),
            "who": rule.who,
            "removed": state.removed,
            "carried_out": 1.0 if state.done_ms is not None else round(min(share, 0.999), 3),
            "done": None if state.done_ms is None else rfc3339(state.done_ms),
            "kept": self._eraser.is_kept(rule.target),
        }


def _dry_run(body: Any, more: int = 0) -> bool:
    """Read whether a call is only asked about, or refuse; *more* names may stand there."""
    if not isinstance(body, dict) or len(body.keys() - {DRY_RUN}) > more:
        msg = f"want an object with {DRY_RUN} at most" if not more else "want an object"
        raise RejectedError(msg)
    value = body.get(DRY_RUN, False)
    if not isinstance(value, bool):
        msg = f"{DRY_RUN}: want true or false"
        raise RejectedError(msg)
    return value
