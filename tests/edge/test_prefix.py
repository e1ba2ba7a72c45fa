"""The grammar of prefix redirects, against the tables of the service it is compatible with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regional_logger.prefix import is_prefix, parse_prefix


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/e/example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/https://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/http://example.com/a.mp3", "http://example.com/a.mp3"),
        ("/e/HTTPS://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/https:/example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e//example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e//https://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/example.com:8443/a?x=%2F&y", "https://example.com:8443/a?x=%2F&y"),
        ("/e,pg=1/example.com/a", "https://example.com/a"),
        ("/e/1.2.3.4/a", "https://1.2.3.4/a"),
    ],
)
def test_a_target_is_taken_byte_for_byte(raw: str, target: str) -> None:
    """Scheme defaulting and tolerated slashes change the front, never the rest."""
    prefix = parse_prefix(raw)

    assert prefix is not None
    assert prefix.target == target


@pytest.mark.parametrize(
    "raw",
    [
        "/e/",
        "/e/example.com",
        "/e/example.com/",
        "/e/localhost/a",
        "/e/.example.com/a",
        "/e/-example.com/a",
        "/e/example-/a",
        "/e/exa..mple/a",
        "/e/example.com:0/a",
        "/e/example.com:70000/a",
        "/e/example.com:08/a",
        "/e/user@example.com/a",
        "/e/[::1]/a",
        "/e/exa_mple.com/a",
        "/e/example%2Ecom/a",
        "/e/ftp://example.com/a",
    ],
)
def test_a_malformed_target_is_refused(raw: str) -> None:
    """What is no host with a path is no redirect."""
    assert is_prefix(raw)
    assert parse_prefix(raw) is None


def test_arguments_are_told_apart_from_the_target() -> None:
    """They stand between the comma and the first slash."""
    prefix = parse_prefix("/e,pg=abc,hls=1/example.com/a")

    assert prefix is not None
    assert prefix.arguments == "pg=abc,hls=1"


@given(st.text(max_size=200))
def test_no_input_raises(text: str) -> None:
    """And whatever is accepted ends as it was given."""
    prefix = parse_prefix(f"/e/{text}")

    if prefix is not None:
        assert f"/e/{text}".endswith(prefix.target.partition("://")[2])
