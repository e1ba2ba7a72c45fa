"""How long hits are kept, by their kind.

Rules of this file:
- Pure.
- What goes are whole days (UTC), so that with epochs of a day all of one goes together.
"""

from dataclasses import dataclass

from milepost.record import LINK, ORPHAN, PREFIX

DAY_MS = 86_400_000
KINDS = (PREFIX, LINK, ORPHAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """For how many days hits are kept at least; 0: for ever."""

    days: int = 0
    link_days: int = 0  # 0: as all others
    orphan_days: int = 0

    def horizons(self, now_ms: int) -> dict[str, int]:
        """Return the moment before which hits go, of each kind of which any do."""
        own = {LINK: self.link_days, ORPHAN: self.orphan_days}
        days = {kind: own.get(kind) or self.days for kind in KINDS}
        return {
            kind: max(0, now_ms - now_ms % DAY_MS - each * DAY_MS)
            for kind, each in days.items()
            if each
        }
