"""What is asked of an aggregator, and how long each answer took."""

import http.client
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import quote, urlencode

from bench.generating.hits import DAY_MS, DAYS
from milepost.vocabulary import Millis

DIMENSIONS = (
    *("link", "region", "country", "referrer", "source", "device", "os", "browser", "class"),
    *("status", "variant", "kind", "host"),
)
# Told by lists that are kept elsewhere: common ones, and what no list has.
LISTED = {
    "class": {"frequent": "human", "middling": "library", "rare": "scanner"},
    "device": {"frequent": "mobile", "middling": "tablet", "rare": "watch"},
    "os": {"frequent": "iOS", "middling": "Linux", "absent": "no-such-os"},
    "browser": {"frequent": "Chrome", "middling": "Firefox", "absent": "no-such-browser"},
}
ANSWER_SECONDS_MAX = 60.0
QUESTION_SECONDS_MAX = 8.0  # of all its repeats: what is slow is asked less often
OK, UNPROCESSABLE = 200, 422


@dataclass(frozen=True, slots=True)
class Question:
    """One question, by a name that tells it from the others."""

    group: str  # what it is summed up with
    name: str
    path: str


@dataclass(slots=True)
class Answers:
    """How long a question took each time, in milliseconds, or why it has no answer."""

    took: list[float] = field(default_factory=list)
    refused: str = ""  # it would cost too much
    missing: str = ""  # nobody answers such a question yet
    failed: str = ""

    @property
    def over(self) -> bool:
        """Tell whether it need not be asked again."""
        return bool(self.refused or self.missing or self.failed) or (
            sum(self.took) > 1000 * QUESTION_SECONDS_MAX
        )


class Asker:
    """One connection to an aggregator, which asks one question at a time."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask, and return status and body."""
        response = self.open(path)
        body = response.read()
        return response.status, body

    def open(self, path: str, seconds: float = ANSWER_SECONDS_MAX) -> http.client.HTTPResponse:
        """Ask, and return an answer whose body is not read yet."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=seconds)
        headers = {"Authorization": f"Bearer {self._token}"}
        self._connection.request("GET", path, headers=headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Give the connection up, whatever was read of an answer."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, question: Question, answers: Answers) -> None:
        """Ask *question* once, and note what came of it."""
        begun = time.perf_counter()
        try:
            status, body = self.get(question.path)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            answers.failed = f"{type(error).__name__} after {time.perf_counter() - begun:.1f} s"
            return
        took = 1000 * (time.perf_counter() - begun)
        if status == OK:
            answers.took.append(took)
            return
        why = f"{status} {body[:200].decode(errors='replace')}"
        if status == UNPROCESSABLE:
            answers.refused = why
        elif status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            answers.missing = why
        else:
            answers.failed = why


def stats_questions(end: Millis) -> list[Question]:
    """Return the totals of 30 days by each dimension: of whole days, and up to now."""
    midnight = end - end % DAY_MS
    spans = {
        "stats, whole days": {"start": _day(midnight - DAYS * DAY_MS), "end": _day(midnight)},
        "stats, up to now": {"start": f"-{DAYS}d"},
    }
    found = [
        Question(group, "total", f"/v1/stats?{urlencode(told)}") for group, told in spans.items()
    ]
    for dimension in DIMENSIONS:
        for group, told in spans.items():
            path = f"/v1/stats?{urlencode({**told, 'group_by': dimension})}"
            found.append(Question(group, dimension, path))
    return found


def hits_questions(values: Mapping[str, Mapping[str, str]]) -> list[Question]:
    """Return the first page without a filter, and of each value, from both ends."""
    found = []
    for direction in ("desc", "asc"):
        found.append(Question("hits, no filter", direction, f"/v1/hits?direction={direction}"))
        for name, told in {**values, **LISTED}.items():
            for often, value in told.items():
                path = f"/v1/hits?{name}={quote(value, safe='')}&direction={direction}"
                found.append(Question("hits, one filter", f"{name} {often} {direction}", path))
    return found


def ask_all(
    asker: Asker, questions: Sequence[Question], repeats: int, tell: Callable[[int], None]
) -> dict[Question, Answers]:
    """Ask every question in turn, round by round, so that none finds what it just left."""
    found = {question: Answers() for question in questions}
    for number in range(repeats):
        for question, answers in found.items():
            if not answers.over:
                asker.ask(question, answers)
        tell(number + 1)
    return found


def summed(took: Sequence[float]) -> dict[str, Any]:
    """Return median, 99th percentile and maximum."""
    ranked = sorted(took)
    at = max(0, math.ceil(0.99 * len(ranked)) - 1)
    return {
        "p50": round(median(ranked), 2),
        "p99": round(ranked[at], 2),
        "max": round(ranked[-1], 2),
        "asked": len(ranked),
    }


def _day(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // 1000))
