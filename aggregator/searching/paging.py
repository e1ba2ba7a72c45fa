"""One page of hits, as it is told."""

from dataclasses import dataclass
from typing import Any

import orjson

from aggregator.asking.budget import Budget
from aggregator.asking.filters import Narrowing
from aggregator.searching.question import Cursors, Place, Question, cursors_of
from aggregator.searching.rows import (
    JSON,
    columns_of,
    header,
    objects,
    stored_names,
    text_ids,
    written,
)
from aggregator.searching.store import newest_batch, rows_at, search, texts_of
from milepost.sqlite import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """In which format, and which fields."""

    form: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered, and where one can go on."""

    body: bytes
    cursors: Cursors


def page_of(
    db: Connection, question: Question, narrowing: Narrowing, budget: Budget, shape: Shape
) -> Page:
    """Return the page that *question* asks for, out of one moment of the database."""
    found = search(db, question.want(), narrowing, budget)
    rows = found.rows[::-1] if question.backwards else found.rows
    places = [Place(*row[:3]) for row in rows]
    cursors = cursors_of(question, places, more=found.more, newest=newest_batch(db))
    whole = rows_at(db, places, stored_names(shape.names))
    texts = texts_of(db, text_ids(shape.names, whole))
    columns = columns_of(shape.names, whole, texts)
    if shape.form != JSON:
        lines = written(shape.form, shape.names, columns)
        return Page(header(shape.form, shape.names) + lines, cursors)
    told: dict[str, Any] = {
        "hits": objects(shape.names, columns),
        "next": cursors.next,
        "previous": cursors.previous,
    }
    if cursors.newer is not None:
        told["newer"] = cursors.newer
    return Page(orjson.dumps(told), cursors)
