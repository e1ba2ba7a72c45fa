"""A set of 16-byte digests in 16 bytes each, and some room.

Rules of this file:
- Pure.
- Python's own set needs three to four times as much: too much for millions on a small machine.
- Where a digest stands follows from Python's hash, which is another one in each process: who
  chooses what is digested cannot have it all stand in one place.
"""

from array import array
from struct import Struct
from typing import Final

DIGEST_BYTES: Final = 16
FEW: Final = 1_024  # places at the beginning; always a power of two

_halves = Struct("=QQ").unpack
_whole = Struct("=QQ").pack


class DigestSet:
    """Digests that were seen.  Two zeros are a free place: no digest anybody will ever meet."""

    def __init__(self) -> None:
        self._mask = FEW - 1
        self._left, self._right = _free(FEW), _free(FEW)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, digest: bytes) -> bool:
        """Add *digest*, and return whether it was new."""
        left, right = _halves(digest)
        lefts, rights, mask = self._left, self._right, self._mask
        at = hash(digest) & mask
        while lefts[at] or rights[at]:
            if lefts[at] == left and rights[at] == right:
                return False
            at = (at + 1) & mask
        lefts[at], rights[at] = left, right
        self._count += 1
        if self._count * 4 > (mask + 1) * 3:
            self._grow()
        return True

    def _grow(self) -> None:
        lefts, rights = self._left, self._right
        self._mask = 2 * self._mask + 1
        self._left, self._right = _free(self._mask + 1), _free(self._mask + 1)
        self._count = 0
        for left, right in zip(lefts, rights, strict=True):
            if left or right:
                self.add(_whole(left, right))


def _free(places: int) -> "array[int]":
    return array("Q", bytes(8)) * places
