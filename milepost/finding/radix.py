"""Patterns: for a path, the link whose beginning fits, the longest one.

A radix tree for each host.  An edge of the tree carries as many characters as all
below it have in common; a search goes down one path of the tree and reads each
character once, however many patterns there are.

Rules of this file:
- Pure.
- Nothing here calls itself: a tree may be as deep as a path is long.
"""

from collections.abc import KeysView

from milepost.links import Link


class _Node:
    """A place in the tree, reached by *label* from the one above it."""

    __slots__ = ("below", "label", "link")

    def __init__(self, label: str) -> None:
        self.label = label
        self.below: dict[str, _Node] = {}  # by the first character of their labels
        self.link: Link | None = None  # of the pattern that begins as the path to here


class Patterns:
    """Every pattern, by host."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}
        self.hosts: KeysView[str] = self._roots.keys()  # that have any
        self._count = 0

    def __len__(self) -> int:
        """Return how many patterns there are."""
        return self._count

    def find(self, host: str, path: str) -> Link | None:
        """Return the pattern that fits *path* and is the longest of those that do."""
        node = self._roots.get(host)
        found, at = None, 0
        while node is not None:
            if node.link is not None:
                found = node.link
            node = node.below.get(path[at : at + 1])
            if node is not None and path.startswith(node.label, at):
                at += len(node.label)
            else:
                return found
        return found

    def put(self, link: Link) -> None:
        """Add *link*, or replace the one with its host and path."""
        beginning, at = _beginning(link), 0
        node = self._roots.setdefault(link.host, _Node(""))
        while at < len(beginning):
            node, at = _step(node, beginning, at)
        self._count += node.link is None
        node.link = link

    def remove(self, link: Link) -> None:
        """Take out the pattern with this host and path, if it is there."""
        beginning, at = _beginning(link), 0
        way = [self._roots.get(link.host)]
        while way[-1] is not None and at < len(beginning):
            node = way[-1].below.get(beginning[at])
            fits = node is not None and beginning.startswith(node.label, at)
            way.append(node if fits else None)
            at += len(node.label) if node is not None else 0
        passed = [node for node in way if node is not None]
        if len(passed) < len(way) or passed[-1].link is None:
            return
        passed[-1].link = None
        self._count -= 1
        _tidy(passed)
        if not passed[0].below and passed[0].link is None:
            del self._roots[link.host]


def _beginning(link: Link) -> str:
    return link.path[:-1]


def _step(node: _Node, beginning: str, at: int) -> tuple[_Node, int]:
    """Go down from *node* by what it has in common with *beginning* from *at* on; make a way."""
    below = node.below.get(beginning[at])
    if below is None:
        below = node.below[beginning[at]] = _Node(beginning[at:])
        return below, len(beginning)
    common = _common(below.label, beginning, at)
    if common == len(below.label):
        return below, at + common
    between = node.below[beginning[at]] = _Node(below.label[:common])
    below.label = below.label[common:]
    between.below[below.label[0]] = below
    return between, at + common


def _common(label: str, beginning: str, at: int) -> int:
    """Return how many characters *label* shares with *beginning* from *at* on."""
    for length, char in enumerate(label):
        if beginning[at + length : at + length + 1] != char:
            return length
    return len(label)


def _tidy(way: list[_Node]) -> None:
    """Drop what leads nowhere at the end of *way*, and join what no longer forks."""
    for above, node in zip(way[-2::-1], way[:0:-1], strict=True):
        if node.link is not None or len(node.below) > 1:
            return
        if not node.below:
            del above.below[node.label[0]]
        else:
            (only,) = node.below.values()
            only.label = node.label + only.label
            above.below[only.label[0]] = only
