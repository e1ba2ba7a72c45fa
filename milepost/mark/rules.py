"""What a mark tells of the database that it lies beside.

Others believe a database that it holds at least what it held when they last heard
of it: edges that it has what they were told, or that they may forget what was
acknowledged.  So a database that knows less than it did, because it was restored or
rolled back, must say so by another name; and one that has only been started again
must keep its name, or else an old copy would pass for something new.

The mark beside the database tells the two apart: it says which file it belongs
to, on which machine, and how much that file has held.

Rules of this file:
- Pure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is remembered of a database outside of it."""

    name: str  # of the database's present life: its generation, or its history
    machine: str
    file: int  # the number that the file system gave it
    height: int  # the highest number that has been in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is in a database."""

    name: str | None  # None: it was just made
    height: int


def why_new(mark: Mark | None, held: Held, machine: str, file: int) -> str:
    """Say why the database is not what its mark was written for; empty if it is."""
    if held.name is None:
        return "it is new"
    if mark is None:
        return "nothing tells that it was here before"
    if mark.machine != machine:
        return f"it was on the machine {mark.machine}"
    if (mark.name, mark.file) != (held.name, file):
        return "it has taken the place of another file"
    if mark.height > held.height:
        return f"it has held number {mark.height}, and ends at {held.height}"
    return ""
