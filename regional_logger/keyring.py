"""What an edge knows of epochs: public keys for long, salts in memory only.

Rules of this file:
- Pure but for its own state.  Nothing here is ever written to a disk.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from milepost.epochs import EpochList, PublicEpoch
from milepost.vocabulary import Epoch, Millis, Salt


@dataclass(frozen=True, slots=True)
class HeldSalt:
    """A salt and the end of its epoch."""

    epoch: Epoch
    end_ms: Millis
    salt: Salt = field(repr=False)


class Keyring:
    """The epochs and salts at hand."""

    def __init__(self) -> None:
        self.listed: EpochList | None = None
        self._salts: dict[Epoch, HeldSalt] = {}
        self._current: PublicEpoch | None = None

    @property
    def salts(self) -> tuple[HeldSalt, ...]:
        """Return the salts at hand."""
        return tuple(self._salts.values())

    def take_list(self, listed: EpochList) -> bool:
        """Take a verified list in the place of the one at hand, never an older one."""
        if self.listed is not None and listed.version <= self.listed.version:
            return False
        self.listed, self._current = listed, None
        return True

    def take_salts(self, salts: Iterable[HeldSalt], now: Millis) -> None:
        """Hold *salts* and no other; those whose epoch is over are dropped."""
        self._salts = {held.epoch: held for held in salts if held.end_ms > now}

    def drop_ended(self, now: Millis) -> None:
        """Forget the salts whose time is over."""
        ended = [epoch for epoch, held in self._salts.items() if held.end_ms <= now]
        for epoch in ended:
            del self._salts[epoch]

    def epoch_at(self, now: Millis) -> PublicEpoch | None:
        """Return the epoch to seal under: the one that holds *now*, else the nearest."""
        held = self._current
        if held is not None and held.start_ms <= now < held.end_ms:
            return held
        self._current = self.listed.at(now) if self.listed else None
        return self._current

    def salt_of(self, epoch: PublicEpoch | None) -> Salt | None:
        """Return the salt of *epoch* if it is at hand."""
        held = self._salts.get(epoch.number) if epoch is not None else None
        return held.salt if held is not None else None

    def needs_salts(self, now: Millis, lead_ms: int) -> bool:
        """Tell whether a salt that is, or within *lead_ms* will be, in force is missing."""
        if self.listed is None:
            return True
        wanted = (self.listed.at(now), self.listed.at(Millis(now + lead_ms)))
        return any(epoch is not None and epoch.number not in self._salts for epoch in wanted)
