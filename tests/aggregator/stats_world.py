"""Random questions about sums, and what plain counting answers."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from random import Random
from typing import Any

from aggregator.access.narrowing import EVERYTHING, Narrowing
from aggregator.asking.filters import Filter
from aggregator.rolling.tiers import HOUR_MS
from aggregator.stats.planning import WHOLE
from aggregator.stats.question import Question, read_question
from aggregator.stats.sums import Found
from tests.aggregator.rolled_world import AGENTS, START_MS, Row, dimension_of

ZONES = (
    *("UTC", "UTC", "UTC", "Europe/Berlin", "Europe/Berlin", "America/New_York"),
    *("Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"),
)
GROUPS = (
    *("link", "country", "referrer", "browser", "status", "host", "class", "variant", "region"),
    *("link,country", "status,referrer", "source,kind"),
)
FILTERS: tuple[tuple[tuple[str, str], ...], ...] = (
    *((), (), (), (), (), (), (), (("link", "one"),), (("country", "DE"),), (("status", "302"),)),
    *((("referrer", "a.example"),), (("browser", "Firefox"),), (("class", "bot"),)),
    *((("variant", ""),), (("link", "nobody"),), (("host", "h.example"), ("link", "two"))),
    *((("country", "DE"), ("country", "US")), (("source", "!mail"),), (("link", "!"),)),
    (("visitor", "0001" * 8),),
)
NARROWINGS = (
    *(
        EVERYTHING,
        EVERYTHING,
        EVERYTHING,
        EVERYTHING,
        EVERYTHING,
        EVERYTHING,
        Narrowing(hosts=frozenset({"h.example"})),
    ),
    *(Narrowing(links=frozenset({"one"})), Narrowing(links=frozenset({"one", "two"}))),
    Narrowing(hosts=frozenset({"i.example"}), links=frozenset()),
)

Counts = dict[tuple[int, tuple[Any, ...]], list[int]]


def random_question(random: Random, hours: int) -> Question:
    """Return a question about some of 20 times *hours* hours."""
    chosen = sorted(random.randint(-30, 22 * 60 * hours) for _ in range(2))
    start_ms, end_ms = (START_MS + minutes * HOUR_MS // 60 for minutes in chosen)
    given = [("start", str(start_ms)), ("end", str(end_ms + 1)), *random.choice(FILTERS)]
    for name, values in (
        ("tz", ZONES),
        ("group_by", (None, *GROUPS)),
        ("interval", (None, None, "hour", "day", "week", "month")),
        ("bots", ("exclude", "include", "only", None)),
        ("limit", (None, None, "1", "3")),
        ("uniques", (None, None, "true", "false")),
    ):
        value = random.choice(values)
        if value is not None:
            given.append((name, value))
    return read_question({name: [v for n, v in given if n == name] for name, _ in given}, end_ms)


def meets(row: Row, told: Filter) -> bool:
    """Tell whether *row* is one that a filter wants."""
    if told.field == "visitor":
        value: Any = row.visitor
    else:
        value = dimension_of(row, told.field)
    return (value in told.values) != told.negated


def wanted(rows: Iterable[Row], question: Question, narrowing: Narrowing) -> Iterator[Row]:
    """Give those of *rows* that count."""
    for row in rows:
        human = AGENTS[row.agent][0] == "human"
        if not question.start_ms <= row.time_ms < question.end_ms:
            continue
        if question.bots != "include" and human != (question.bots == "exclude"):
            continue
        if not all(meets(row, each) for each in question.filters):
            continue
        if narrowing.hosts is not None and row.texts["host"] not in narrowing.hosts:
            continue
        if narrowing.links is not None and row.texts.get("link") not in narrowing.links:
            continue
        yield row


def counted(rows: list[Row]) -> list[int]:
    """Count hits, clicks and uniques."""
    clicks = [row for row in rows if row.click]
    return [
        len(rows),
        len(clicks),
        len({(row.epoch, row.visitor) for row in clicks if row.visitor}),
    ]


def plain(rows: list[Row], question: Question) -> Counts:
    """Count *rows* by bucket and by group, all of them, and by both."""
    moments = [*question.starts, question.end_ms]
    told: Counts = {}
    ranges = {WHOLE: (question.start_ms, question.end_ms)}
    if question.starts:
        ranges |= dict(enumerate(pairwise(moments)))
    for bucket, (start_ms, end_ms) in ranges.items():
        here = [row for row in rows if start_ms <= row.time_ms < end_ms]
        told[bucket, ()] = counted(here)
        if not question.group_by:
            continue
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in here:
            key = tuple(dimension_of(row, name) for name in question.group_by)
            groups.setdefault(key, []).append(row)
        told |= {(bucket, key): counted(each) for key, each in groups.items()}
    return told if question.uniques else {key: counts[:2] for key, counts in told.items()}


def named(question: Question, found: Found) -> Counts:
    """Return what was found, by the names of its groups; what is zero is left out."""
    return {
        (bucket, found.groups.get(group, ())): told if question.uniques else told[:2]
        for (bucket, group), told in found.sums.items()
        if any(told)
    }
