"""Copies by their names: a name tells when its copy was made.

Rules of this file:
- Pure.
- Age goes by the name alone.  No file has to be readable to be deleted, and none
  that we did not name ever is.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from key_server.periods import AHEAD, Span
from milepost.vocabulary import Millis

DAY_MS = 24 * 60 * 60 * 1000
EVERY_MS_MIN = 1_000
DRAFT = ".tmp"

_NAME = re.compile(r"keys-(\d{8}T\d{6}\.\d{3})Z\.copy(\.tmp)?")
_FORM = "%Y%m%dT%H%M%S.%f"


def name_of(made_ms: Millis) -> str:
    """Return the name of the copy that is made at this moment."""
    moment = datetime.fromtimestamp(made_ms // 1000, UTC).replace(microsecond=made_ms % 1000 * 1000)
    return f"keys-{moment.strftime(_FORM)[:-3]}Z.copy"


def made_at(name: str) -> Millis | None:
    """Return when the copy or draft *name* was made, or None if we did not name it."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[1], _FORM).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Millis(
        int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
    )


def newest(names: Iterable[str], now: Millis) -> Millis | None:
    """Return when the newest whole copy was made; one from a clock that was ahead is none."""
    moments = [made_at(name) for name in names if not name.endswith(DRAFT)]
    return max((each for each in moments if each is not None and each <= now), default=None)


def expired(names: Iterable[str], now: Millis, keep_ms: int) -> tuple[str, ...]:
    """Return those copies, and drafts of copies, that have been kept for as long as they may be."""
    return tuple(
        name for name in names if (made := made_at(name)) is not None and now - made >= keep_ms
    )


def every_ms(spans: Sequence[Span]) -> int:
    """Return how often to make a copy: daily, and before half of what one holds ahead is used."""
    shortest = min((span.end_ms - span.start_ms for span in spans[-AHEAD:]), default=DAY_MS)
    return max(EVERY_MS_MIN, min(DAY_MS, AHEAD // 2 * shortest))
