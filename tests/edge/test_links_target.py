"""Where a link leads one visit: wildcard and query."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.targeting.choosing import target_of
from tests.edge.links_world import a_link


@pytest.mark.parametrize(
    ("path", "destination", "visited", "target"),
    [
        ("/d/*", "https://x.example/*", "/d/a/b", "https://x.example/a/b"),
        ("/d/*", "https://x.example/new/*", "/d/", "https://x.example/new/"),
        ("/d/*", "https://x.example/n-*", "/d/%2F/..;a//", "https://x.example/n-%2F/..;a//"),
        ("/d/*", "https://x.example/home", "/d/a/b", "https://x.example/home"),
        ("/d/*", "https://x.example/?p=*", "/d/a", "https://x.example/?p=a"),
        ("/d/*", "https://x.example/*", "/d//evil.example", "https://x.example//evil.example"),
        ("/*", "https://x.example/*", "/a", "https://x.example/a"),
        ("/a", "https://x.example/*", "/a", "https://x.example/*"),
    ],
)
def test_a_wildcard_is_what_the_path_had_there(
    path: str, destination: str, visited: str, target: str
) -> None:
    """Byte for byte; a destination without one is as it is, and so is a literal link's."""
    assert target_of(a_link("1", path, destination=destination), visited, "q=1") == target


@pytest.mark.parametrize(
    ("destination", "query", "target"),
    [
        ("https://x.example/", "a=%2F&b", "https://x.example/?a=%2F&b"),
        ("https://x.example", "a", "https://x.example?a"),
        ("https://x.example/?c=d", "a=b", "https://x.example/?c=d&a=b"),
        ("https://x.example/?", "a=b", "https://x.example/?a=b"),
        ("https://x.example/?c&", "a=b", "https://x.example/?c&a=b"),
        ("https://x.example/#f", "a=b", "https://x.example/?a=b#f"),
        ("https://x.example/#f?g", "a=b", "https://x.example/?a=b#f?g"),
        ("https://x.example/?c#f", "a?b=?", "https://x.example/?c&a?b=?#f"),
        ("https://x.example/", "", "https://x.example/"),
    ],
)
def test_a_query_goes_on_before_the_fragment(destination: str, query: str, target: str) -> None:
    """Byte for byte, joined to one that is there."""
    link = a_link("1", destination=destination, pass_query=True)

    assert target_of(link, "/a", query) == target


def test_both_go_together() -> None:
    """First the path, then the query."""
    link = a_link("1", "/d/*", destination="https://x.example/*", pass_query=True)

    assert target_of(link, "/d/a", "b=c") == "https://x.example/a?b=c"


printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
starts = st.sampled_from(["https://x.example/*", "https://x.example/a*", "https://x.example/?p=*"])


@given(starts, printable.filter(lambda text: "?" not in text), printable)
def test_no_visit_chooses_the_host(destination: str, rest: str, query: str) -> None:
    """Whatever stands in its path and query, a link leads where its owner said."""
    link = a_link("1", "/d/*", destination=destination, pass_query=True)

    target = target_of(link, f"/d/{rest}", query)

    assert urlsplit(target).netloc == "x.example"
    assert target.startswith(destination[:-1])
