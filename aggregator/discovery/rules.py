"""Reading what a DNS tells of machines, and judging who is gone.

What a DNS says is input: its size is bounded, and a name that could be no
machine is not used.  A machine is gone only when many whole answers in a row
have left it out.  An answer is whole when there was one, it was understood to
the end, and it named somebody; any other may add machines and takes none away.

Rules of this file:
- Pure.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from milepost.errors import UnavailableError

MACHINES_MAX = 500
TEXT_BYTES_MAX = 65_536  # no DNS message holds more
ROUNDS_ABSENT = 12  # whole answers without a machine, after which it is gone

_MACHINE, _REGION = re.compile(r"[a-z0-9]{1,63}"), re.compile(r"[a-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True)
class Listing:
    """The machines that an answer names; *odd* counts what could not be understood."""

    machines: frozenset[str]
    odd: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The sources that a look has found; *whole*: what is not among them was not there."""

    urls: frozenset[str]
    whole: bool


def read_machines(records: Iterable[Sequence[bytes]]) -> Listing:
    """Read TXT records of "<machine> <region>,…", each cut into strings anywhere."""
    texts = [b"".join(strings) for strings in records]
    if sum(map(len, texts)) > TEXT_BYTES_MAX:
        msg = f"the DNS answered with more than {TEXT_BYTES_MAX} bytes of machines"
        raise UnavailableError(msg)
    parts = [
        part.strip()
        for text in texts
        for part in text.decode("ascii", "replace").split(",")
        if part.strip()
    ]
    if len(parts) > MACHINES_MAX:
        msg = f"the DNS told of {len(parts)} machines; at most {MACHINES_MAX} are looked at"
        raise UnavailableError(msg)
    machines = [machine for part in parts if (machine := _machine(part))]
    return Listing(frozenset(machines), len(parts) - len(machines))


def _machine(part: str) -> str:
    machine, _, region = part.partition(" ")
    return machine if _MACHINE.fullmatch(machine) and _REGION.fullmatch(region) else ""


def count_absences(
    before: Mapping[str, int], pulled: AbstractSet[str], found: Found
) -> dict[str, int]:
    """Return how many whole answers in a row have left out each of *pulled* that one did."""
    if not found.whole:
        return {url: count for url, count in before.items() if url not in found.urls}
    return {url: before.get(url, 0) + 1 for url in pulled - found.urls}


def gone(absences: Mapping[str, int]) -> frozenset[str]:
    """Return who has been left out often enough."""
    return frozenset(url for url, count in absences.items() if count >= ROUNDS_ABSENT)
