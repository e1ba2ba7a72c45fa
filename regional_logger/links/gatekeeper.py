"""The gatekeeper: which literal paths there may be links at, in a few bits each.

A cuckoo filter.  Of each host and path it keeps a fingerprint of 16 bits in one
of two buckets; either follows from the other and the fingerprint, so that one
can move over when its bucket is full, and can be taken out again.  It never says
no to what is in it, and says yes to something else about once in ten thousand.

Rules of this file:
- Pure.  The key of the fingerprints is given, and is chance: whoever knew it could
  make addresses that are always let through, or that crowd into two buckets.
- What was never put in is never taken out: that would take out another's bits.
- It grows without knowing what is in it, by more room in each bucket, so that a
  fingerprint's two buckets stay the same two.
"""

import hashlib
from array import array

SLOTS = 4  # a bucket of a filter that has not grown
SLOTS_MIN = 16_384  # in all: with so many, a million links cost no more than 1 % in errors
FILL = 0.9  # what it is sized for; up to 0.97 is reached before it grows
KICKS_MAX = 500  # how many move over for one that comes
BITS = 16
_FINGERPRINTS = (1 << BITS) - 1  # 0 is an empty slot


class Gatekeeper:
    """A set of places that forgets everything but a fingerprint of each.

    A place that is put in twice is in it twice.
    """

    def __init__(self, key: bytes, expected: int = 0) -> None:
        """Begin empty, with room for *expected* places."""
        self._key = key
        self._buckets = -(-max(int(expected / FILL), SLOTS_MIN) // SLOTS)
        self._width = SLOTS
        self._slots = array("H", bytes(2 * SLOTS * self._buckets))
        self._count = 0
        self._turn = 0  # whose turn it is to move over

    def __len__(self) -> int:
        """Return how many places are in it."""
        return self._count

    @property
    def size_bytes(self) -> int:
        """Return how much memory its slots take."""
        return len(self._slots) * self._slots.itemsize

    def may_hold(self, host: str, path: str) -> bool:
        """Tell whether the place may be in it; no is certain."""
        fingerprint, bucket = self._mark(host, path)
        return self._is_in(fingerprint, bucket) or self._is_in(
            fingerprint, self._other(fingerprint, bucket)
        )

    def add(self, host: str, path: str) -> None:
        """Put a place in."""
        fingerprint, bucket = self._mark(host, path)
        self._count += 1
        if self._fill(fingerprint, bucket):
            return
        bucket = self._other(fingerprint, bucket)
        for _ in range(KICKS_MAX):
            if self._fill(fingerprint, bucket):
                return
            self._turn = (self._turn + 1) % self._width
            at = bucket * self._width + self._turn
            fingerprint, self._slots[at] = self._slots[at], fingerprint
            bucket = self._other(fingerprint, bucket)
        self._widen()
        self._fill(fingerprint, bucket)

    def discard(self, host: str, path: str) -> bool:
        """Take out a place that was put in; return False if it cannot have been."""
        fingerprint, bucket = self._mark(host, path)
        for each in (bucket, self._other(fingerprint, bucket)):
            at = each * self._width
            if fingerprint in self._slots[at : at + self._width]:
                self._slots[self._slots.index(fingerprint, at, at + self._width)] = 0
                self._count -= 1
                return True
        return False

    def _mark(self, host: str, path: str) -> tuple[int, int]:
        """Return the fingerprint of a place, and the first of its buckets."""
        name = f"{host}{path}".encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(name, digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "big")
        return number % _FINGERPRINTS + 1, (number >> BITS) % self._buckets

    def _other(self, fingerprint: int, bucket: int) -> int:
        """Return the other of a fingerprint's two buckets.  Asked about that, it is this one."""
        return (fingerprint * 0x5BD1E995 - bucket) % self._buckets

    def _is_in(self, fingerprint: int, bucket: int) -> bool:
        at = bucket * self._width
        return fingerprint in self._slots[at : at + self._width]

    def _fill(self, fingerprint: int, bucket: int) -> bool:
        """Put a fingerprint into a free slot of *bucket*, if there is one."""
        at = bucket * self._width
        if 0 not in self._slots[at : at + self._width]:
            return False
        self._slots[self._slots.index(0, at, at + self._width)] = fingerprint
        return True

    def _widen(self) -> None:
        """Give every bucket one more slot."""
        old, width = self._slots, self._width
        self._width = width + 1
        self._slots = array("H", bytes(2 * self._width * self._buckets))
        for bucket in range(self._buckets):
            at = bucket * self._width
            self._slots[at : at + width] = old[bucket * width : (bucket + 1) * width]
