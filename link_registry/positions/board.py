"""The board: the last report of each machine.

It is kept in memory only: it is news, and the next reports come within seconds.

Rules of this file:
- Pure.
- The number of machines and the length of their names are bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from milepost.errors import FieldError, TooManyError
from milepost.fields import shape_in, shape_of
from milepost.links import FeedPlace, feed_place
from milepost.vocabulary import Millis

MACHINES_MAX = 1_000
FORGET_MS = 24 * 60 * 60 * 1_000  # one that has been silent for so long is gone
FIELDS = frozenset({"region", "machine", "place"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
NAME_PATTERN = _NAME.pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far one machine says that it is."""

    region: str
    machine: str
    place: FeedPlace | None  # None: it has no links yet
    heard_ms: Millis
    foreign_ms: Millis  # since when its place has been none of the history in force


def report_from(body: Any, now: Millis) -> Report:
    """Return what an edge reports, or refuse naming the field."""
    if not isinstance(body, dict):
        accepted = "an object with region, machine and place"
        raise FieldError(field="the body", accepted=accepted, got=shape_of(body))
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        accepted = f"one of {', '.join(sorted(FIELDS))}"
        raise FieldError(field=unknown[0][:40], accepted=accepted, got="no such field")
    for name in ("region", "machine"):
        if not isinstance(body.get(name), str) or not _NAME.fullmatch(body[name]):
            accepted = "letters, digits and hyphens, at most 63"
            raise FieldError(field=name, accepted=accepted, got=shape_in(body, name))
    told = body.get("place")
    place = feed_place(told) if isinstance(told, str) else None
    if told is not None and place is None:
        accepted = "the id of a feed's event, or null before the first"
        raise FieldError(field="place", accepted=accepted, got=shape_of(told))
    return Report(
        region=body["region"], machine=body["machine"], place=place, heard_ms=now, foreign_ms=now
    )


class Board:
    """What each machine reported last."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, str], Report] = {}

    def put(self, report: Report, history: str) -> None:
        """Note *report* while *history* is in force."""
        key = (report.region, report.machine)
        before = self._reports.get(key)
        if before is None and len(self._reports) >= MACHINES_MAX:
            self._forget(report.heard_ms)
        if before is None and len(self._reports) >= MACHINES_MAX:
            msg = f"{MACHINES_MAX} machines have reported a position; no further one is noted"
            raise TooManyError(msg, retry_after_seconds=60)
        if before is not None and not _is_of(before, history) and not _is_of(report, history):
            report = replace(report, foreign_ms=before.foreign_ms)
        self._reports[key] = report

    def reports(self, now: Millis) -> Iterator[Report]:
        """Give what is known, by region and machine."""
        self._forget(now)
        for key in sorted(self._reports):
            yield self._reports[key]

    def _forget(self, now: Millis) -> None:
        for key, report in list(self._reports.items()):
            if now - report.heard_ms > FORGET_MS:
                del self._reports[key]


def _is_of(report: Report, history: str) -> bool:
    return report.place is not None and report.place.history == history


def lag_of(
    report: Report, newest: FeedPlace, next_ms: Millis | None, now: Millis
) -> tuple[int | None, Millis]:
    """Return how many changes behind *newest* a machine is, and for how many milliseconds.

    *next_ms* is when the change was made that it lacks first; without a number, it
    needs a snapshot.
    """
    if report.place is None or report.place.history != newest.history:
        return None, Millis(max(0, now - report.foreign_ms))
    behind = max(0, newest.position - report.place.position)
    if not behind:
        return 0, Millis(0)
    return behind, Millis(max(0, now - (report.heard_ms if next_ms is None else next_ms)))
