"""The links in memory: which one a visit means.

Rules of this file:
- Pure.
- A disabled link is held, so that it can be counted, and never found.
"""

import re
from collections import Counter
from collections.abc import Iterable

from milepost.links import ANY_HOST, Link
from milepost.vocabulary import LinkId
from regional_logger.targets import canonical

_PORT = re.compile(r":[0-9]{1,5}$")

Place = tuple[str, str]  # host and path


class LinkTable:
    """Every link of the replica, by id and by the place it answers at."""

    def __init__(self) -> None:
        self._by_id: dict[LinkId, Link] = {}
        self._by_place: dict[Place, Link] = {}
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_id)

    def links(self) -> tuple[Link, ...]:
        """Return every link that is held, as of this moment."""
        return tuple(self._by_id.values())

    def put(self, link: Link) -> None:
        """Add *link*, or replace what was held under its id."""
        self.remove(link.id)
        self._by_id[link.id] = link
        self._hosts[canonical(link.host)] += 1
        if link.enabled:
            self._by_place[link.host, link.path] = link

    def remove(self, link_id: LinkId) -> None:
        """Forget a link, if it is there."""
        old = self._by_id.pop(link_id, None)
        if old is None:
            return
        name = canonical(old.host)
        self._hosts[name] -= 1
        if not self._hosts[name]:
            del self._hosts[name]
        # Another link may have taken the place since.
        if self._by_place.get((old.host, old.path)) is old:
            del self._by_place[old.host, old.path]

    def replace_all(self, links: Iterable[Link]) -> None:
        """Hold *links* and nothing else, from one moment to the next."""
        by_id = {link.id: link for link in links}
        by_place = {(link.host, link.path): link for link in by_id.values() if link.enabled}
        self._by_id, self._by_place = by_id, by_place
        self._hosts = Counter(canonical(link.host) for link in by_id.values())

    def has_host(self, name: str) -> bool:
        """Tell whether a link names the host *name*, which is canonical."""
        return name in self._hosts

    def find(self, host: str, path: str) -> Link | None:
        """Return the link for a visit to *path* of the host named in its header.

        A link of that very host and port comes before one of the host, and that
        before one of every host.
        """
        literal = path.partition("?")[0]
        for name in _names(host):
            link = self._by_place.get((name, literal))
            if link is not None:
                return link
        return None


def _names(host: str) -> tuple[str, ...]:
    full = host.lower()
    return (full, _PORT.sub("", full).rstrip("."), ANY_HOST)
