"""When a combined database begins a new generation.

Edges keep what has been acknowledged for a while only, and believe the highest
generation they have seen.  So a database that knows less than it did, because it
was restored or rolled back, must say so by a higher one; and one that has only
been started again must not, or else an old copy would pass for the newest.

The mark beside the database tells the two apart: it says which file it belongs
to, on which machine, and how much that file has held.

Rules of this file:
- Pure.
"""

from dataclasses import dataclass

from milepost.vocabulary import Generation, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is remembered of a database outside of it."""

    generation: Generation
    machine: str
    file: int  # the number that the file system gave it
    applied: int  # the highest number of a batch that has been in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in a database."""

    generation: Generation | None  # None: it was just made
    applied: int


def why_new(mark: Mark | None, held: Held, machine: str, file: int) -> str:
    """Say why the database is not what its mark was written for; empty if it is."""
    if held.generation is None:
        return "it is new"
    if mark is None:
        return "nothing tells that it was here before"
    if mark.machine != machine:
        return f"it was on the machine {mark.machine}"
    if (mark.generation, mark.file) != (held.generation, file):
        return "it has taken the place of another file"
    if mark.applied > held.applied:
        return f"it has held batch {mark.applied}, and ends at {held.applied}"
    return ""


def next_generation(before: Generation | None, now: Millis) -> Generation:
    """Return the generation that begins *now*: higher than *before*, whatever the clock says."""
    return Generation(max(now, (before or 0) + 1))
