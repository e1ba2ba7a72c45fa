"""Downloads counted piece by piece, in the order of time.

What counts are the hits that were visible when it began.  Each piece is read for itself, so
that no snapshot is held for as long as it takes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from aggregator.access.narrowing import Narrowing
from aggregator.asking.budget import Budget
from aggregator.asking.filters import HUMAN_CLASS, INTEGER_MAX
from aggregator.classifying.downloads import RULE, Download, Row
from aggregator.classifying.downloads import Counter as Rule
from aggregator.downloads.question import DAY, DAY_MS, EXCLUDE, LINK, Question
from aggregator.searching.question import Place, Want
from aggregator.searching.rows import text_ids, written_moment
from aggregator.searching.store import newest_batch, rows_at, search, texts_of
from aggregator.stats.rows.store import rows_since
from milepost.errors import TooBroadError
from milepost.sqlite import Connection

PIECE_ROWS = 10_000
ROWS_MAX, GROUPS_MAX = 10_000_000, 500_000  # of one question
NAMES = ("method", "status", "target", "range", "visitor", "agent", "referer", "class", "link")


class Tally:
    """What is counted so far, and what comes next."""

    def __init__(self, question: Question, narrowing: Narrowing) -> None:
        self._question = question
        self._narrowing = narrowing
        self._want = Want(
            selection=question.selection,
            by_arrival=False,
            descending=False,
            limit=PIECE_ROWS,
            upto=-1,
        )
        self._rule = Rule(bots=question.bots != EXCLUDE)
        self._groups: dict[str | None, int] = {}
        self._downloads: Counter[int] = Counter()
        self._first_twos = 0
        self._rows = 0
        self.done = False

    def piece(self, db: Connection, budget: Budget) -> None:
        """Count the next rows, or refuse if some of them are gone by their age."""
        selection = self._question.selection
        since_ms = rows_since(db, selection.filters)
        if since_ms is not None and selection.start_ms < since_ms:
            msg = (
                f"start: the rows before {written_moment(since_ms)} are gone, and downloads are "
                "counted out of rows: ask for days that begin there or later"
            )
            raise TooBroadError(msg)
        if self._want.upto < 0:
            self._want = replace(self._want, upto=newest_batch(db))
        found = search(db, replace(self._want, upto=INTEGER_MAX), self._narrowing, budget)
        self._rows += len(found.rows)
        if self._rows > ROWS_MAX:
            msg = f"more than {ROWS_MAX} hits would have to be read: ask for fewer days"
            raise TooBroadError(msg)
        places = [Place(*row[:3]) for row in found.rows]
        mine = [place for place in places if place.batch <= self._want.upto]
        raw = rows_at(db, mine, NAMES)
        self._count(self._rule.count(self._told(raw, texts_of(db, text_ids(NAMES, raw)))))
        self.done = not found.more
        if self.done:
            self._count(self._rule.rest())
        else:
            self._want = replace(self._want, after=places[-1])

    def _told(self, raw: Sequence[Sequence[Any]], texts: dict[int, str]) -> Iterator[Row]:
        text = texts.get
        for row in raw:
            told = dict(zip(NAMES, row[3:], strict=True))
            target = text(told["target"], "")
            yield Row(
                id=self._group(row[0], text(told["link"]), target),
                time=row[0],
                method=text(told["method"], ""),
                status=told["status"],
                target=target,
                range=text(told["range"]),
                visitor=told["visitor"],
                agent=text(told["agent"]),
                referer=text(told["referer"]),
                person=text(told["class"]) == HUMAN_CLASS,
            )

    def _group(self, time_ms: int, link: str | None, target: str) -> int:
        """Return the number of what the hit is counted under."""
        by = self._question.group_by
        if by == DAY:
            return time_ms // DAY_MS
        if len(self._groups) > GROUPS_MAX:
            msg = f"more than {GROUPS_MAX} targets: ask for fewer days, or add a filter"
            raise TooBroadError(msg)
        return self._groups.setdefault(link if by == LINK else target, len(self._groups))

    def _count(self, downloads: Iterable[Download]) -> None:
        for each in downloads:
            self._downloads[each.id] += 1
            self._first_twos += each.first_two

    def told(self) -> dict[str, Any]:
        """Return what was counted."""
        question = self._question
        rows = self._days() if question.group_by == DAY else self._largest()
        return {
            "rule": RULE,
            "start": written_moment(question.selection.start_ms),
            "end": written_moment(question.selection.end_ms),
            "bots": question.bots,
            "group_by": question.group_by,
            "downloads": self._downloads.total(),
            "first_two": self._first_twos,
            "groups": len(rows),
            "rows": rows[: question.limit],
        }

    def _days(self) -> list[dict[str, Any]]:
        """Return every day, also those without any."""
        days = range(self._want.selection.start_ms // DAY_MS, self._want.selection.end_ms // DAY_MS)
        return [
            {DAY: written_moment(day * DAY_MS)[:10], "downloads": self._downloads[day]}
            for day in days
        ]

    def _largest(self) -> list[dict[str, Any]]:
        """Return the groups with the most downloads first."""
        by = self._question.group_by
        found = [
            (-self._downloads[number], name)
            for name, number in self._groups.items()
            if self._downloads[number]
        ]
        return [
            {**({} if name is None else {by: name}), "downloads": -count}
            for count, name in sorted(found, key=lambda each: (each[0], each[1] or ""))
        ]
