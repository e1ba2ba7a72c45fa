"""Answering a question about sums: out of the rollups, or out of the rows, in one snapshot."""

from collections.abc import Collection

from aggregator.access.narrowing import EVERYTHING, Narrowing
from aggregator.asking.store import resolve
from aggregator.query.params import rfc3339
from aggregator.rolling.cells import HITS
from aggregator.rolling.fields import NUMBERS
from aggregator.stats.planning import WHOLE, FromRollups, from_rollups, listed, series, spans
from aggregator.stats.question import Question
from aggregator.stats.rolled.store import Rollups, value_of
from aggregator.stats.rows.store import count_rows, rows_since, seek
from aggregator.stats.sums import TOTALS, Found, Group, Name, Rest, Sums, choose, rest_of
from milepost.errors import TooBroadError
from milepost.sqlite import Connection

TEXTS = "SELECT id, value FROM text WHERE id IN (SELECT value FROM json_each(?))"


def find(
    db: Connection, question: Question, narrowing: Narrowing = EVERYTHING, *, rows_max: int
) -> Found:
    """Count what *question* asks for, as far as *narrowing* lets it be seen."""
    plan = from_rollups(question, narrowing)
    if plan is not None:
        return _from_rollups(db, question, plan, rows_max)
    return from_rows(db, question, narrowing, rows_max)


def _from_rollups(db: Connection, question: Question, plan: FromRollups, rows_max: int) -> Found:
    since_ms = rows_since(db, question.filters)
    value = value_of(db, plan.dimension, plan.value)
    if value is None:  # no hit ever had it
        return Found(
            rolled=True, epochs=0, sums={}, groups={}, rest=Rest(0, 0, 0), since_ms=since_ms
        )
    rollups = Rollups(db, question, plan, rows_max, since_ms)
    wanted = spans(question)
    totals = rollups.sums(plan.dimension, [value], wanted)
    sums = {(bucket, TOTALS): told for (bucket, _), told in totals.items()}
    if plan.group is not None:
        groups, count = rollups.top(plan.group, wanted[0], question.limit)
    else:  # by nothing, or by what has one value
        groups, count = totals if question.group_by else {}, 0
    names = _chosen(db, question, groups)
    if plan.group is not None and names and question.starts:
        groups |= rollups.sums(plan.group, [value for (value,) in names], series(question))
    sums |= {key: told for key, told in groups.items() if key[1] in names}
    rest = rest_of(sums, names, max(count, len(names)))
    epochs = rollups.epochs(plan.dimension, value, wanted[0])
    return Found(rolled=True, epochs=epochs, sums=sums, groups=names, rest=rest, since_ms=since_ms)


def from_rows(db: Connection, question: Question, narrowing: Narrowing, rows_max: int) -> Found:
    """Count out of the rows, which can tell everything."""
    since_ms = rows_since(db, question.filters)
    if since_ms is not None and question.start_ms < since_ms:
        msg = (
            f"start: the rows before {rfc3339(since_ms)} are gone, and this is "
            " not rolled up: ask from there on, or with at most one filter and by one dimension"
        )
        raise TooBroadError(msg)
    condition = resolve(db, question.filters, narrowing)
    if not condition.possible:
        return Found(
            rolled=False, epochs=0, sums={}, groups={}, rest=Rest(0, 0, 0), since_ms=since_ms
        )
    sought = seek(db, question, condition, rows_max)
    sums: Sums = {}
    groups: Sums = {}
    epochs = 0
    for each in count_rows(db, question, condition, sought):
        into = groups if each.of == "group" else sums
        into[each.bucket, each.group] = [each.hits, each.clicks, each.uniques]
        if (each.of, each.bucket) == ("total", WHOLE):
            epochs = each.epochs
    names = _chosen(db, question, groups)
    rest = rest_of(sums | groups, names, len(groups))
    if names and question.starts:
        for each in count_rows(db, question, condition, sought, names):
            groups[each.bucket, each.group] = [each.hits, each.clicks, each.uniques]
    sums |= {key: told for key, told in groups.items() if key[1] in names}
    return Found(rolled=False, epochs=epochs, sums=sums, groups=names, rest=rest, since_ms=since_ms)


def _chosen(db: Connection, question: Question, sums: Sums) -> dict[Group, tuple[Name, ...]]:
    """Return the groups that are told, with their names."""
    whole = {
        group: told for (bucket, group), told in sums.items() if bucket == WHOLE and told[HITS]
    }
    return choose(whole, question.limit, lambda groups: _names(db, groups, question.group_by))


def _names(
    db: Connection, groups: Collection[Group], group_by: tuple[str, ...]
) -> dict[Group, tuple[Name, ...]]:
    numbers = [name in NUMBERS for name in group_by]
    ids = {
        value for group in groups for value, plain in zip(group, numbers, strict=True) if not plain
    }
    texts: dict[int, str] = dict(db.execute(TEXTS, (listed(ids),)))
    return {
        group: tuple(
            (value or None) if plain else texts.get(value)
            for value, plain in zip(group, numbers, strict=True)
        )
        for group in groups
    }
