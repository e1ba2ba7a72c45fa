"""What may be abandoned: what a person knows will not come, and nothing that still flows.

Rules of this file:
- Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from milepost.stream.files import SUFFIX
from milepost.vocabulary import Millis, StreamId


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A stream as far as abandoning it goes."""

    stream: StreamId
    source: str
    open: bool
    present: bool
    unended: bool  # no machine has it, and none has said that it is closed
    fault: str | None
    records: int  # announced and not applied
    behind: bool
    abandoned_ms: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What abandoning would write off, or has."""

    streams: Sequence[Candidate]
    unreadable: Sequence[str]  # files that their source cannot read
    refused: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what a caller is told."""
        return {
            "streams": [_told(each) for each in self.streams],
            "records": sum(each.records for each in self.streams),
            "unreadable": list(self.unreadable),
        }


def of_stream(candidate: Candidate, *, answers: bool, unreadable: Sequence[str]) -> Prospect:
    """Judge one stream; *answers*: its source does, and cannot read the *unreadable* files."""
    name = f"{candidate.stream.hex()}{SUFFIX}"
    return Prospect(
        streams=[candidate],
        unreadable=[each for each in unreadable if each == name],
        refused=_refusal(candidate, answers=answers),
    )


def of_source(
    url: str, candidates: Sequence[Candidate], *, answers: bool, unreadable: Sequence[str]
) -> Prospect:
    """Judge a source with all its streams, of which those are told that lose something."""
    return Prospect(
        streams=[each for each in candidates if each.behind or each.fault],
        unreadable=unreadable,
        refused=f"{url} answers; abandon its streams one by one" if answers else "",
    )


def _refusal(candidate: Candidate, *, answers: bool) -> str:
    name = candidate.stream.hex()
    if candidate.abandoned_ms is not None or (candidate.fault and candidate.present):
        return ""
    if not candidate.behind and not candidate.unended:
        return f"all that was announced of stream {name} is applied; there is nothing to write off"
    if candidate.open and candidate.present and answers:
        return f"stream {name} is being written, and its source answers; it is pulled by itself"
    return ""


def _told(candidate: Candidate) -> dict[str, Any]:
    told = {
        "stream": candidate.stream.hex(),
        "source": candidate.source,
        "open": candidate.open,
        "records": candidate.records,
        "abandoned": candidate.abandoned_ms is not None,
    }
    return {**told, "fault": candidate.fault} if candidate.fault else told
