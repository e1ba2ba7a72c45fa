"""Links as they travel."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import RejectedError
from milepost.links import PLAIN_ADDRESS, Link, is_reserved, link_from
from tests.kernel.kernel_values import json_values

RULE = {"path": "/a", "destination": "https://example.org/"}


def test_what_is_left_out_has_a_default() -> None:
    """Every host, 302, enabled."""
    assert link_from(RULE, "l1") == Link(
        id=link_from(RULE, "l1").id,
        host="*",
        path="/a",
        destination="https://example.org/",
        status=302,
        enabled=True,
    )


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("host", "Example.COM.", "example.com"),
        ("host", "localhost:8080", "localhost:8080"),
        ("host", "*", "*"),
        ("path", "/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("path", "/%C3%A4", "/%C3%A4"),
        ("path", "/elephant", "/elephant"),
        ("path", "/" + "a" * 1_023, "/" + "a" * 1_023),
        ("destination", "http://host:1/p?q#f", "http://host:1/p?q#f"),
        ("status", 301, 301),
        ("status", 308, 308),
        ("enabled", False, False),
        ("path", "/docs/*", "/docs/*"),
        ("path", "/*", "/*"),
        ("path", "//a//", "//a//"),
        ("destination", "https://example.org*", "https://example.org*"),
        ("pass_query", True, True),
        ("expires_ms", None, None),
        ("expires_ms", 1, 1),
    ],
)
def test_a_value_that_is_accepted(field: str, value: Any, kept: Any) -> None:
    """A host is kept in its one written form; all else as given."""
    assert getattr(link_from(RULE | {field: value}, "l1"), field) == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host", ""),
        ("host", None),
        ("host", "a b"),
        ("host", "*.example.com"),
        ("host", "http://a"),
        ("host", "a" * 254),
        ("path", None),
        ("path", ""),
        ("path", "a"),
        ("path", "/"),
        ("path", "/a b"),
        ("path", "/a?b"),
        ("path", "/a#b"),
        ("path", "/ä"),
        ("path", "/a\n"),
        ("path", "/" + "a" * 1_024),
        ("path", "/e"),
        ("path", "/e/x"),
        ("path", "/e,p=1/x"),
        ("path", "/robots.txt"),
        ("path", "/favicon.ico"),
        ("destination", None),
        ("destination", "example.org"),
        ("destination", "//example.org"),
        ("destination", "javascript:alert(1)"),
        ("destination", "https://"),
        ("destination", "https://[::1"),
        ("destination", "https://a/\r\nSet-Cookie: b"),
        ("destination", "https://a/ b"),
        ("destination", "https://a/" + "b" * 2_048),
        ("status", 200),
        ("status", "302"),
        ("status", True),
        ("status", None),
        ("enabled", 1),
        ("enabled", "yes"),
        ("path", "/*/"),
        ("path", "/a*"),
        ("path", "/a/*b"),
        ("path", "*"),
        ("path", "/e/*"),
        ("pass_query", "yes"),
        ("pass_query", None),
        ("expires_ms", 0),
        ("expires_ms", True),
        ("expires_ms", 1.5),
        ("expires_ms", 253_402_300_800_000),
        ("colour", "red"),
    ],
)
def test_a_value_that_is_refused_by_name(field: str, value: Any) -> None:
    """The person who sent it reads which field was wrong."""
    with pytest.raises(RejectedError, match=f"^{field}: "):
        link_from(RULE | {field: value}, "l1")


@pytest.mark.parametrize(
    ("destination", "good"),
    [
        ("https://example.org/*", True),
        ("https://example.org/a?b=*", True),
        ("https://example.org/a#*", True),
        ("https://example.org/", True),
        ("https://example.org*", False),
        ("https://example.org:8*", False),
        ("https://example.org?a=*", False),
        ("https://user@*", False),
        ("https://*", False),
    ],
)
def test_what_stands_for_a_wildcard_is_no_part_of_a_host(
    destination: str,
    good: bool,  # noqa: FBT001
) -> None:
    """Whoever clicks would choose where the pattern leads."""
    rule = {"path": "/docs/*", "destination": destination}
    if good:
        assert link_from(rule, "l1").destination == destination
    else:
        with pytest.raises(RejectedError, match=r"^destination: "):
            link_from(rule, "l1")


@given(json_values)
def test_any_json_is_a_link_or_refused(rule: Any) -> None:
    """Nothing that a body or a feed can hold is another error."""
    with pytest.raises(RejectedError):
        link_from(rule, "l1")


def test_a_link_comes_back_from_its_rule() -> None:
    """Registry, feed and replica speak of one thing."""
    link = link_from(RULE | {"host": "a.b", "status": 307, "enabled": False}, "l1")
    more = link_from(RULE | {"path": "/a/*", "pass_query": True, "expires_ms": 5}, "l2")

    assert link_from(link.to_rule(), link.id) == link
    assert link_from(more.to_rule(), more.id) == more


@pytest.mark.parametrize(
    ("path", "reserved"), [("/e", True), ("/e/", True), ("/e,a=b/c", True), ("/ea", False)]
)
def test_what_the_edge_answers_itself(path: str, reserved: bool) -> None:  # noqa: FBT001
    """A link there would never be reached."""
    assert is_reserved(path) is reserved


@given(st.from_regex(PLAIN_ADDRESS, fullmatch=True))
def test_the_quick_look_at_an_address_finds_what_the_thorough_one_does(address: str) -> None:
    """What is taken at a glance names a host as it stands there, and no port."""
    plain = PLAIN_ADDRESS.fullmatch(address)
    parts = urlsplit(address)

    assert plain
    assert parts.netloc == plain[1]
    assert parts.hostname
    assert parts.port is None
