"""What is told of what was counted.

Rules of this file:
- Pure.
- A bucket that has nothing is told with zeros, a group that has nothing is not told.
- Uniques that nobody wants are not told: they may not have been counted.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aggregator.stats.planning import WHOLE
from aggregator.stats.question import Question
from aggregator.stats.sums import TOTALS, Found, Group

COUNTS = ("hits", "clicks", "uniques")
NOTHING = (0, 0, 0)


def answer(question: Question, found: Found) -> dict[str, Any]:
    """Return what is told."""
    told: dict[str, Any] = {
        "start": local(question.start_ms, question.zone),
        "end": local(question.end_ms, question.zone),
        "tz": question.zone.key,
        "bots": question.bots,
        "rolled": found.rolled,
        "epochs": found.epochs,
        "total": _counts(question, found, WHOLE, TOTALS),
    }
    if found.since_ms is not None:
        told["rows_since"] = local(found.since_ms, question.zone)
    if question.interval:
        told["interval"] = question.interval
        told["series"] = [
            {"start": local(start_ms, question.zone), **_counts(question, found, number, TOTALS)}
            for number, start_ms in enumerate(question.starts)
        ]
    if question.group_by:
        told["group_by"] = list(question.group_by)
        told["groups"] = [_group(question, found, group) for group in found.groups]
        told["rest"] = found.rest._asdict()
    return told


def local(moment_ms: int, zone: ZoneInfo) -> str:
    """Write a moment as clocks in *zone* show it, with how far they are ahead of UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment_ms)
    text = moment.astimezone(zone).isoformat(timespec="milliseconds")
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _names(question: Question) -> tuple[str, ...]:
    return COUNTS if question.uniques else COUNTS[:-1]


def _counts(question: Question, found: Found, bucket: int, group: Group) -> dict[str, int]:
    return dict(zip(_names(question), found.sums.get((bucket, group), NOTHING), strict=False))


def _group(question: Question, found: Found, group: Group) -> dict[str, Any]:
    names = dict(zip(question.group_by, found.groups[group], strict=True))
    told: dict[str, Any] = {**names, **_counts(question, found, WHOLE, group)}
    if question.starts:
        sums = [found.sums.get((n, group), NOTHING) for n in range(len(question.starts))]
        columns = zip(*sums, strict=True)
        told["series"] = {
            name: list(each) for name, each in zip(_names(question), columns, strict=False)
        }
    return told
