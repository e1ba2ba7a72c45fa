"""The links of one process: which one a visit means, and whether memory can tell.

Three things at once: the gatekeeper knows every literal place, the patterns are
all there, and of the literal links as many as the memory for them holds.

Which of several links answers a visit, `milepost.finding.places` says.

Rules of this file:
- Pure.
- Of a disabled link nothing is in here but that its host has one.
- Whatever may be on disk and is not in memory is COLD, and never "not found".
- Who takes a link out says what it was: the gatekeeper cannot look it up.
"""

import enum
import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from milepost.finding.places import Place, answering, names_of
from milepost.finding.radix import Patterns
from milepost.links import Link
from milepost.targeting.rules import bytes_of_rules
from regional_logger.links.gatekeeper import Gatekeeper
from regional_logger.targets import canonical

PREVIEW = "+"
ABSENT_MAX = 256  # places that are let in by mistake, and remembered
LINK_BYTES = 480  # what CPython and this table take for a link, but for its two long texts


class Cold(enum.Enum):
    """What is found when only the disk can tell."""

    COLD = enum.auto()


COLD: Final = Cold.COLD
Found = Link | None | Literal[Cold.COLD]
FindLink = Callable[[str, str], Found]  # (host, path) -> link


def paths_of(path: str) -> tuple[str, ...]:
    """Return the literal paths that a visit to *path* may mean."""
    return (path, path[:-1]) if path.endswith(PREVIEW) else (path,)


def bytes_of(link: Link) -> int:
    """Return about how much memory *link* takes."""
    more = bytes_of_rules(link.rules) if link.rules else 0
    return LINK_BYTES + len(link.path) + len(link.destination) + more


class Outline:
    """What is known of every link without holding them."""

    def __init__(self, key: bytes, expected: int = 0) -> None:
        self.gatekeeper = Gatekeeper(key, expected)
        self.patterns = Patterns()
        self.hosts: Counter[str] = Counter()  # how many links each has, disabled ones included
        self.own: Counter[str] = Counter()  # the same, as targets are compared with them

    def add(self, link: Link) -> None:
        """Know *link*; of one that is disabled, its host."""
        self.count(link.host, 1)
        if link.enabled and link.is_pattern:
            self.patterns.put(link)
        elif link.enabled:
            self.gatekeeper.add(link.host, link.path)

    def count(self, host: str, more: int) -> None:
        """Know that *host* has so many links *more*, or fewer."""
        for counted, name in ((self.hosts, host), (self.own, canonical(host))):
            counted[name] += more
            if not counted[name]:
                del counted[name]

    def remove(self, link: Link) -> None:
        """Know *link*, which was added, no more."""
        self.count(link.host, -1)
        if link.enabled and link.is_pattern:
            self.patterns.remove(link)
        elif link.enabled:
            self.gatekeeper.discard(link.host, link.path)


class LinkTable:
    """What one process knows of the links."""

    def __init__(self, key: bytes, bytes_max: int | None = None) -> None:
        """Know no link.  *key* is the gatekeeper's; without *bytes_max* nothing is ever cold."""
        self._bytes_max = bytes_max
        self._outline = Outline(key)
        self._near: OrderedDict[Place, Link] = OrderedDict()  # the least lately used first
        self._near_bytes = 0
        self._cold = False  # there may be links that are not in memory
        self._dropped = False  # some had no room, since the outline is this one
        self._absent: set[Place] = set()  # let in by mistake: the disk has nothing there
        self.version = 0  # rises whenever what was read before may be out of date
        self.key = key

    @property
    def near(self) -> int:
        """Return how many literal links are in memory."""
        return len(self._near)

    @property
    def near_bytes(self) -> int:
        """Return about how much memory they take."""
        return self._near_bytes

    @property
    def gatekeeper_bytes(self) -> int:
        """Return how much memory the gatekeeper takes."""
        return self._outline.gatekeeper.size_bytes

    def has_host(self, name: str) -> bool:
        """Tell whether a link names the host *name*, which is canonical."""
        return name in self._outline.own

    def __len__(self) -> int:
        """Return how many links can be found, in memory or on disk."""
        return len(self._outline.gatekeeper) + len(self._outline.patterns)

    def find(self, host: str, path: str) -> Found:
        """Return the link for a visit to *path* of the host named in its header."""
        patterns, near, hosts = self._outline.patterns, self._near, self._outline.hosts
        for name in names_of(host):
            link = near.get((name, path))
            if link is not None:
                if self._cold:
                    near.move_to_end((name, path))
                return link
            if name not in hosts:
                continue
            if self._cold and self._may_be_on_disk(name, path):
                return COLD
            if name in patterns.hosts:
                link = patterns.find(name, path)
                if link is not None:
                    return link
        return None

    def find_among(self, known: Mapping[Place, Link], host: str, path: str) -> Link | None:
        """Return the same when *known* is all that the disk has for such a visit."""
        return answering(
            *(host, path, lambda place: self._near.get(place) or known.get(place)),
            self._outline.patterns,
        )

    def change(self, gone: Iterable[Link], put: Link | None) -> None:
        """Know *put*; *gone* are those that were under its id or at its place, or are no more."""
        self._outdate()
        for link in gone:
            self._outline.remove(link)
            self._forget((link.host, link.path))
        if put is not None:
            self._outline.add(put)
            self._keep(put, by_force=False)

    def renew(self, outline: Outline) -> None:
        """Know the links in *outline* and no others.  All of them are cold at first."""
        self._outdate()
        self._outline = outline
        self._near, self._near_bytes = OrderedDict(), 0
        self._cold, self._dropped = True, False

    def hold_all(self, links: Iterable[Link]) -> None:
        """Know *links* and no others, from one moment to the next, and hold them all for good."""
        outline, near = Outline(self.key), OrderedDict[Place, Link]()
        for link in links:
            outline.add(link)
            if link.enabled and not link.is_pattern:
                near[link.host, link.path] = link
        self._outdate()
        self._outline, self._near = outline, near
        self._near_bytes = sum(map(bytes_of, near.values()))
        self._bytes_max, self._cold, self._dropped = None, False, False

    def keep(self, link: Link, version: int) -> None:
        """Hold *link*, read from disk at *version*, and make room for it."""
        if version == self.version:
            self._keep(link, by_force=True)

    def lack(self, host: str, path: str, known: Mapping[Place, Link], version: int) -> None:
        """Ask no more for what the disk, read at *version*, does not have: it has *known*.

        Otherwise whoever finds one place that is let in by mistake could keep the
        readers of the disk busy with it.
        """
        if version != self.version:
            return
        if len(self._absent) >= ABSENT_MAX:
            self._absent.clear()
        places = itertools.product(names_of(host), paths_of(path))
        self._absent.update(
            place
            for place in places
            if place[0] in self._outline.hosts
            and place not in known
            and self._may_be_on_disk(*place)
        )

    def warm(self, links: Iterable[Link]) -> bool:
        """Hold *links*, read just now, as far as there is room; return False if there was none."""
        for link in links:
            self._keep(link, by_force=False)
            if self._dropped:
                return False
        return True

    def warmed(self) -> None:
        """Hear that every link has been offered: if all had room, memory can tell of each."""
        self._cold = self._dropped

    def _may_be_on_disk(self, name: str, path: str) -> bool:
        return self._outline.gatekeeper.may_hold(name, path) and (name, path) not in self._absent

    def _outdate(self) -> None:
        """Have what was read before count no more."""
        self.version += 1
        self._absent.clear()

    def _keep(self, link: Link, *, by_force: bool) -> None:
        place = (link.host, link.path)
        if link.is_pattern or not link.enabled:
            return
        self._forget(place)
        more = bytes_of(link)
        if self._bytes_max is not None and self._near_bytes + more > self._bytes_max:
            self._cold = self._dropped = True
            if not by_force:
                return
            while self._near and self._near_bytes + more > self._bytes_max:
                self._near_bytes -= bytes_of(self._near.popitem(last=False)[1])
        self._near[place] = link
        self._near_bytes += more

    def _forget(self, place: Place) -> None:
        old = self._near.pop(place, None)
        if old is not None:
            self._near_bytes -= bytes_of(old)
