"""What of the hits a token may see: one more condition for whoever asks the database.

Whoever answers out of hits takes a `Narrowing`, has it refuse what the caller asked for by
name and may not see, and hands it to `aggregator.asking.store.resolve`.

Rules of this file:
- Pure.
- A narrowing that cannot be applied is no narrowing: whoever cannot, refuses the caller.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from milepost.errors import NarrowedError
from milepost.tokens import Principal

NAME_CHARS_SHOWN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """The hosts and the links whose hits are seen; of both where both are given."""

    hosts: frozenset[str] | None = None  # None: every host
    links: frozenset[str] | None = None  # ids; None: every link, and visits of no link

    @property
    def whole(self) -> bool:
        """Tell whether everything is seen."""
        return self.hosts is None and self.links is None

    def sees(self, host: str, link: str | None) -> bool:
        """Tell whether a hit of *host* and *link* is seen."""
        return (self.hosts is None or host in self.hosts) and (
            self.links is None or link in self.links
        )

    def refuse_others(
        self, who: Principal, *, hosts: Iterable[str] = (), links: Iterable[str] = ()
    ) -> None:
        """Refuse *who* asks for hosts or links by name that it does not see."""
        for what, own, asked in (("host", self.hosts, hosts), ("link", self.links, links)):
            others = [] if own is None else sorted(set(asked) - own)
            if others:
                msg = (
                    f"the token {who.name!r} is restricted to {who.restriction()}: "
                    f"it lacks the {what} {others[0][:NAME_CHARS_SHOWN]}"
                )
                raise NarrowedError(msg)


EVERYTHING = Narrowing()


def narrowing_of(who: Principal, tagged: frozenset[str] | None) -> Narrowing:
    """Return what *who* sees; *tagged* are the links with one of its tags."""
    return Narrowing(hosts=who.hosts or None, links=tagged if who.tags else None)
