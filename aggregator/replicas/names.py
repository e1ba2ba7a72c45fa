"""The names under which the object store holds replicas of streams: `<region>/<machine>/<stream>`.

Whoever holds a Name may read and delete what lies below it, so one is made of
nothing but these three parts, each of them whole.

Rules of this file:
- Pure.
"""

import re
from dataclasses import dataclass
from typing import Self

from milepost.vocabulary import StreamId

_PATH = re.compile(r"([a-z0-9][a-z0-9-]{0,62})/([A-Za-z0-9][A-Za-z0-9-]{0,62})/([0-9a-f]{32})")


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A replica of one stream."""

    region: str
    machine: str
    stream: StreamId

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the name that *path* is, or None: something else lies there."""
        match = _PATH.fullmatch(path)
        return cls(match[1], match[2], StreamId(bytes.fromhex(match[3]))) if match else None

    def __str__(self) -> str:
        return f"{self.region}/{self.machine}/{self.stream.hex()}"
