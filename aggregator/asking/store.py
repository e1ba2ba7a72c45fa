"""The SQL of a question: filters in, a condition on hits out.

The condition holds over FROM_HIT.  Beside it stand the terms: what the block of every hit
that meets it must have a posting of.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from aggregator.asking.filters import (
    BOTS,
    EVERYTHING,
    OWN_INDEX,
    URL,
    Filter,
    Narrowing,
    Value,
)
from aggregator.rolling.fields import FIELD_NUMBERS, MISSING, NUMBERS, expression
from milepost.sqlite import Connection

TERMS_MAX = 256  # beginnings of more texts than that lead to no blocks

TEXT_ID = "SELECT id FROM text WHERE value = ?"
TEXTS_FROM = "SELECT id FROM text WHERE value >= ? AND value < ? LIMIT ?"
BEGINS = "EXISTS (SELECT 1 FROM text WHERE id = {of} AND value >= ? AND value < ?)"


ANY = -2  # in a term: whatever value, but one


class Term(NamedTuple):
    """A value of a field, as postings have it."""

    field: int
    value: int


class Seek(NamedTuple):
    """Values of a field that has an index of its own."""

    field: str
    values: tuple[str | bytes, ...]


class Condition(NamedTuple):
    """What every hit that is asked for meets.

    A matching hit's block has, of each of *terms*, one at least; and of each of *seeks* the
    hit has one of the values.  Where *possible* is false, no hit meets it.
    """

    sql: str = "1"
    values: tuple[Any, ...] = ()
    terms: tuple[tuple[Term, ...], ...] = ()
    seeks: tuple[Seek, ...] = ()
    possible: bool = True


class _Part(NamedTuple):
    """A condition on its own, and the terms of a block that has such hits.

    None of *terms*: such hits can be in any block.  No *sql*: there are none.
    """

    sql: str | None
    values: tuple[Any, ...] = ()
    terms: tuple[frozenset[Term] | None, ...] = (None,)


NEVER = Condition("0", possible=False)


def resolve(
    db: Connection, filters: Sequence[Filter], narrowing: Narrowing = EVERYTHING
) -> Condition:
    """Return what *filters* come to, as *db* stands now."""
    needed = [
        *_alternatives(each for each in filters if not each.negated),
        *_narrowed(narrowing),
    ]
    parts = [_any(db, group) for group in needed]
    if any(part.sql is None for part in parts):
        return NEVER
    parts += [_none(db, each) for each in filters if each.negated]
    conditions = [part for part in parts if part.sql is not None]
    return Condition(
        sql=" AND ".join(f"({part.sql})" for part in conditions) or "1",
        values=tuple(value for part in conditions for value in part.values),
        terms=tuple(tuple(sorted(term)) for part in conditions for term in part.terms if term),
        seeks=tuple(_seeks(needed)),
    )


def _alternatives(filters: Iterable[Filter]) -> list[list[Filter]]:
    groups: dict[str, list[Filter]] = {}
    for each in filters:
        groups.setdefault(each.field, []).append(each)
    return list(groups.values())


def _narrowed(narrowing: Narrowing) -> Iterator[list[Filter]]:
    for field, allowed in (("host", narrowing.hosts), ("link", narrowing.links)):
        if allowed is not None:
            yield [Filter(field, tuple(sorted(allowed)))]


def _seeks(groups: Iterable[Sequence[Filter]]) -> Iterator[Seek]:
    for group in groups:
        values = [value for each in group for value in each.values]
        if group[0].field in OWN_INDEX and None not in values:
            yield Seek(
                group[0].field, tuple(each for each in values if isinstance(each, str | bytes))
            )


def _any(db: Connection, group: Iterable[Filter]) -> _Part:
    """Return the condition that one of *group*, which are of one field, is met."""
    parts = [part for each in group for part in _parts(db, each) if part.sql is not None]
    if not parts:
        return _Part(None)
    return _Part(
        " OR ".join(str(part.sql) for part in parts),
        tuple(value for part in parts for value in part.values),
        tuple(_union(terms) for terms in zip(*(part.terms for part in parts), strict=True)),
    )


def _union(terms: Iterable[frozenset[Term] | None]) -> frozenset[Term] | None:
    found: set[Term] = set()
    for each in terms:
        if each is None:
            return None
        found |= each
    return frozenset(found)


def _none(db: Connection, told: Filter) -> _Part:
    """Return the condition that none of the values of *told* is there."""
    part = _any(db, [told])
    if part.sql is None:
        return _Part(None)
    terms = None
    if None in told.values and told.field in FIELD_NUMBERS:
        terms = frozenset({Term(FIELD_NUMBERS[told.field], ANY)})
    return _Part(f"({part.sql}) IS NOT TRUE", part.values, (terms,))


def _parts(db: Connection, told: Filter) -> Iterator[_Part]:
    if told.field == URL:
        for value in told.values:
            yield _url(db, str(value), prefix=told.prefix)
        return
    name = "class" if told.field == BOTS else told.field
    if told.prefix:
        for value in told.values:
            yield _beginning(db, name, str(value))
        return
    if None in told.values:
        terms = None
        if name in FIELD_NUMBERS:
            terms = frozenset({Term(FIELD_NUMBERS[name], MISSING)})
        yield _Part(f"{expression(name)} IS NULL", (), (terms,))
    if values := [value for value in told.values if value is not None]:
        yield _one_of(db, name, values)


def _one_of(db: Connection, name: str, values: Sequence[Value]) -> _Part:
    plain = name in NUMBERS or name in OWN_INDEX
    stored = list(values) if plain else [*filter(None, (_text_id(db, each) for each in values))]
    return _stored(name, stored)


def _stored(name: str, stored: Sequence[Value]) -> _Part:
    if not stored:
        return _Part(None)
    marks = ", ".join("?" * len(stored))
    terms = None
    if name in FIELD_NUMBERS:
        terms = frozenset(Term(FIELD_NUMBERS[name], int(each or 0)) for each in stored)
    return _Part(f"{expression(name)} IN ({marks})", tuple(stored), (terms,))


def _beginning(db: Connection, name: str, text: str) -> _Part:
    """Return the condition that field *name* begins with *text*."""
    span = (text, _after(text))
    found = [row[0] for row in db.execute(TEXTS_FROM, (*span, TERMS_MAX + 1))]
    if len(found) <= TERMS_MAX:
        return _stored(name, found)
    return _Part(BEGINS.format(of=expression(name)), span)


def _url(db: Connection, text: str, *, prefix: bool) -> _Part:
    """Return the condition that host and path are, or begin with, *text*."""
    host, slash, rest = text.partition("/")
    if not slash:
        part = _beginning(db, "host", host)
        return part._replace(terms=(*part.terms, None))
    path = slash + rest
    hosts = _one_of(db, "host", [host])
    paths = _beginning(db, "path", path) if prefix else _one_of(db, "path", [path])
    if hosts.sql is None or paths.sql is None:
        return _Part(None)
    return _Part(
        f"({hosts.sql} AND {paths.sql})",
        (*hosts.values, *paths.values),
        (*hosts.terms, *paths.terms),
    )


def _text_id(db: Connection, value: Value) -> int | None:
    found = db.execute(TEXT_ID, (value,)).fetchone()
    return int(found[0]) if found else None


def _after(text: str) -> str | bytes:
    """Return the first value that does not begin with *text* any more."""
    for at in range(len(text), 0, -1):
        if (last := text[at - 1]) < chr(sys.maxunicode):
            # Between these two are halves of characters, which no text has.
            following = "\ue000" if last == "\ud7ff" else chr(ord(last) + 1)
            return text[: at - 1] + following
    return b""  # any blob comes after any text
