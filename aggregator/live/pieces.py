"""Pieces of the order of arrival, out of the database, ready to be sent.

A bookmark names a place in that order.  It holds for one generation of the database: one that
was restored goes on differently.
"""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from aggregator.access.narrowing import EVERYTHING, Narrowing
from aggregator.asking.budget import Budget
from aggregator.asking.filters import Filter
from aggregator.fencing.store import applied
from aggregator.searching.question import Place, Selection, Want
from aggregator.searching.rows import FIELDS, columns_of, objects, stored_names, text_ids
from aggregator.searching.store import collect, texts_of
from milepost.errors import ConflictError, RejectedError
from milepost.record import RECORDS_MAX
from milepost.sqlite import Connection
from milepost.sse import Event, frame

PIECE_ROWS = 500
BATCH_END = RECORDS_MAX  # an idx behind those of all hits of a batch
STORED = stored_names(FIELDS)
_BOOKMARK = re.compile(r"([0-9]{1,16})\.([0-9]{1,16})\.([0-9]{1,4})")


class Bookmark(NamedTuple):
    """A place in the order of arrival: behind the hit *idx* of *batch*."""

    batch: int
    idx: int


class Arrival(NamedTuple):
    """One hit, and how it is sent."""

    bookmark: Bookmark
    hit: dict[str, Any]
    content: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Hits one after another, and up to where nothing is left out."""

    generation: int
    arrivals: list[Arrival]
    end: Bookmark
    more: bool


def written_bookmark(generation: int, bookmark: Bookmark) -> str:
    """Return what a caller sends to go on from *bookmark*."""
    return f"{generation}.{bookmark.batch}.{bookmark.idx}"


def newest_bookmark(db: Connection, _budget: Budget) -> Piece:
    """Return nothing but where the order of arrival ends now."""
    state = applied(db)
    return Piece(state.generation or 0, [], Bookmark(state.batch, BATCH_END), more=False)


def resumed_bookmark(db: Connection, text: str) -> Bookmark:
    """Return the bookmark that *text* names, or refuse what leads nowhere here."""
    found = _BOOKMARK.fullmatch(text)
    if found is None:
        msg = "Last-Event-ID: want the id of an event of this stream"
        raise RejectedError(msg)
    generation, batch, idx = map(int, found.groups())
    state = applied(db)
    if generation != (state.generation or 0) or batch > state.batch:
        msg = (
            "Last-Event-ID: the database was restored since: begin without one, and read what "
            "is between from /v1/hits"
        )
        raise ConflictError(msg)
    return Bookmark(batch, min(idx, BATCH_END))


def piece_after(
    db: Connection,
    bookmark: Bookmark,
    budget: Budget,
    filters: tuple[Filter, ...] = (),
    narrowing: Narrowing = EVERYTHING,
) -> Piece:
    """Return the next hits behind *bookmark*."""
    state = applied(db)
    want = Want(
        selection=Selection(filters=filters),
        by_arrival=True,
        descending=False,
        limit=PIECE_ROWS,
        after=Place(0, *bookmark),
        upto=state.batch,
    )
    found = collect(db, want, narrowing, budget, STORED)
    end = Bookmark(state.batch, BATCH_END)
    if found.reached is not None:
        end = Bookmark(found.reached.batch - 1, BATCH_END)
    elif found.more:
        end = Bookmark(*found.rows[-1][1:3])
    generation = state.generation or 0
    texts = texts_of(db, text_ids(FIELDS, found.rows)) if found.rows else {}
    hits = objects(FIELDS, columns_of(FIELDS, found.rows, texts))
    arrivals = [
        _arrival(generation, Bookmark(*row[1:3]), hit)
        for row, hit in zip(found.rows, hits, strict=True)
    ]
    return Piece(generation, arrivals, max(end, bookmark), found.more)


def _arrival(generation: int, bookmark: Bookmark, hit: dict[str, Any]) -> Arrival:
    event = Event("hit", orjson.dumps(hit), written_bookmark(generation, bookmark))
    return Arrival(bookmark, hit, frame(event))
