"""Patterns: the longest beginning that fits, as a list of all of them would say."""

from hypothesis import given
from hypothesis import strategies as st

from milepost.finding.radix import Patterns, _Node
from milepost.links import PATH_CHARS_MAX, Link
from tests.edge.links_world import a_link

pieces = st.lists(st.sampled_from(("a", "ab", "b", "")), max_size=4)
patterns = st.builds(
    lambda host, parts: a_link("p", "/" + "".join(f"{part}/" for part in parts) + "*", host=host),
    st.sampled_from(("*", "a.example")),
    pieces,
)
visits = st.builds(lambda parts, end: "/" + "/".join(parts) + end, pieces, st.sampled_from("/x"))


def _held(*links: Link) -> Patterns:
    held = Patterns()
    for link in links:
        held.put(link)
    return held


def test_the_longest_pattern_wins() -> None:
    """Whichever was there first."""
    every, docs, api = (a_link(path, path) for path in ("/*", "/docs/*", "/docs/api/*"))
    for held in (_held(every, docs, api), _held(api, docs, every)):
        assert held.find("*", "/docs/api/x") == api
        assert held.find("*", "/docs/apix") == docs
        assert held.find("*", "/docs/") == docs
        assert held.find("*", "/docs") == every
        assert held.find("a.example", "/docs/") is None


def test_a_tree_may_be_as_deep_as_a_path_is_long() -> None:
    """Neither a search nor a removal goes by way of the stack."""
    links = [a_link("p", "/" * (n + 1) + "*") for n in range(PATH_CHARS_MAX - 2)]
    held = _held(*links)
    assert held.find("*", "/" * PATH_CHARS_MAX + "x") == links[-1]
    for link in links:
        held.remove(link)

    assert len(held) == 0
    assert not held.hosts


@given(st.lists(st.tuples(st.booleans(), patterns), max_size=30), st.lists(visits, max_size=10))
def test_the_tree_is_what_its_history_says(
    steps: list[tuple[bool, Link]], paths: list[str]
) -> None:
    """For every history, what is found is what a look at each pattern finds."""
    held, model = Patterns(), dict[tuple[str, str], Link]()
    for put, link in steps:
        if put:
            held.put(link)
            model[link.host, link.path] = link
        else:
            held.remove(link)
            model.pop((link.host, link.path), None)

    for host in ("*", "a.example"):
        for path in paths:
            fitting = [
                link for link in model.values() if link.host == host
                and path.startswith(link.path[:-1])
            ]  # fmt: skip
            longest = max(fitting, key=lambda link: len(link.path), default=None)
            assert held.find(host, path) == longest
    assert len(held) == len(model)
    assert set(held.hosts) == {host for host, _ in model}
    _look_at(held)


def _look_at(held: Patterns) -> None:
    """Find no node that could be left out."""
    waiting: list[tuple[_Node, bool]] = [(root, True) for root in held._roots.values()]
    while waiting:
        node, is_root = waiting.pop()
        assert is_root or node.link is not None or len(node.below) > 1
        assert all(below.label.startswith(first) for first, below in node.below.items())
        waiting += [(below, False) for below in node.below.values()]
