"""The grammar of prefix redirects, against the tables of the service it is compatible with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regional_logger.prefix import is_prefix, parse_prefix, plain_arguments

GUID = "fe4fb16c-062a-4257-ba8d-9a9b923356c2"


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/e/example.com/path/to/episode.mp3", "https://example.com/path/to/episode.mp3"),
        ("/e/https://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/http://example.com/a.mp3", "http://example.com/a.mp3"),
        ("/e/HTTPS://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/HttP://example.com/a.mp3", "http://example.com/a.mp3"),
        ("/e/https:/example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/http:/example.com/a.mp3", "http://example.com/a.mp3"),
        ("/e//example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e//https://example.com/a.mp3", "https://example.com/a.mp3"),
        ("/e/us.example.com:8111/stream", "https://us.example.com:8111/stream"),
        ("/e/example.com:65535/a", "https://example.com:65535/a"),
        ("/e/example.com/e.mp3?foo=bar", "https://example.com/e.mp3?foo=bar"),
        ("/e/example.com:8443/a?x=%2F&y", "https://example.com:8443/a?x=%2F&y"),
        ("/e/Example.COM/A%2fb/../c//d", "https://Example.COM/A%2fb/../c//d"),
        ("/e/example.com/a%0D%0Ab%00", "https://example.com/a%0D%0Ab%00"),
        ("/e/example.com/a.mp3%20%20", "https://example.com/a.mp3%20%20"),
        ("/e/example.com/https://b.example/c", "https://example.com/https://b.example/c"),
        ("/e/example.com./a", "https://example.com./a"),
        ("/e/1.2.3.4/a", "https://1.2.3.4/a"),
        ("/e/xn--bcher-kva.example/a", "https://xn--bcher-kva.example/a"),
        ("/e/LOCALHOST/a", "https://LOCALHOST/a"),
        ("/e/localhost.example/a", "https://localhost.example/a"),
        ("/e,/example.com/e.mp3", "https://example.com/e.mp3"),
        (f"/e,pg={GUID}/example.com/x.mp3", "https://example.com/x.mp3"),
        (f"/e,pg={GUID}//http:/example.com/x", "http://example.com/x"),
        (f"/e/pg={GUID}/example.com/x.mp3", "https://example.com/x.mp3"),
        (f"/e/pg%3D{GUID}/http://example.com/x", "http://example.com/x"),
        ("/e/pg=no-guid/example.com/x.mp3", "https://example.com/x.mp3"),
        ("/e,what?=ever/example.com/a", "https://example.com/a"),
    ],
)
def test_a_target_is_taken_byte_for_byte(raw: str, target: str) -> None:
    """Scheme defaulting and tolerated slashes change the front, never the rest."""
    prefix = parse_prefix(raw)

    assert is_prefix(raw)
    assert prefix is not None
    assert prefix.target == target


@pytest.mark.parametrize(
    "raw",
    [
        "/e/",
        "/e/f",
        "/e/https://",
        "/e/https:///example.com/a",
        "/e///example.com/a",
        "/e/example.com",
        "/e/example.com/",
        "/e/example.com?a/b",
        "/e/localhost",
        "/e/localhost/foo.mp3",
        "/e/localhost:80/foo.mp3",
        "/e/asdf-/foo.mp3",
        "/e/asdf../foo.mp3",
        "/e/.asdf/foo.mp3",
        "/e/-example.com/a",
        "/e/exa..mple/a",
        "/e/example.com:/a",
        "/e/example.com:0/a",
        "/e/example.com:65536/a",
        "/e/example.com:99999/a",
        "/e/example.com:100000/a",
        "/e/example.com:08/a",
        "/e/user@example.com/a",
        "/e/user:pass@example.com/a",
        "/e/[::1]/a",
        "/e/exa_mple.com/a",
        "/e/example%2Ecom/a",
        "/e/ftp://example.com/a",
        "/e/javascript:/example.com/a",
        "/e/hls=1/example.com/a",
        f"/e//pg={GUID}/example.com/a",
        "/e,",
        "/e,/",
        "/e,a=b",
        "/e/example.com/a b",
        "/e/example.com/a\r\nSet-Cookie: x",
        "/e/example.com/\n",
        "/e/example.com/a\x00",
        "/e/example.com/a\x7f",
        "/e/example.com/caf\u00e9",
        "/e,a b/example.com/a",
        "/e,a\nb/example.com/a",
    ],
)
def test_a_malformed_target_is_refused(raw: str) -> None:
    """What is no host with a path is no redirect."""
    assert is_prefix(raw)
    assert parse_prefix(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        *("", "asdf", "/", "/e", "/favicon.ico", "/f/example.com/a", "/E/a.b/c"),
        *("//e/example.com/a", "/example.com/x.mp3", "/epg=1/example.com/a"),
        "https://example.org/e/example.com/a",
    ],
)
def test_other_addresses_are_no_prefixes(raw: str) -> None:
    """They may be links, or nothing."""
    assert not is_prefix(raw)
    assert parse_prefix(raw) is None


@pytest.mark.parametrize(
    ("told", "arguments"),
    [
        (f"pg={GUID}", f"pg={GUID}"),
        (f"pg={GUID.upper()}", f"pg={GUID}"),
        (f"pg%3D{GUID}", f"pg={GUID}"),
        (f"pg%3d{GUID}", f"pg={GUID}"),
        (f"hls=1,pg={GUID}", f"hls=1,pg={GUID}"),
        (f"pg={'0' * 8}{GUID[8:]},x=1,pg={GUID}", f"x=1,pg={GUID}"),
        (f"pg={GUID},pg=abc", f"pg={GUID},pg=abc"),
        (
            f"s={'A' * 32},t=220910200900000,g={'F' * 40}",
            f"s={'a' * 32},t=220910200900000,g={'f' * 40}",
        ),
        ("PG=abc,hls=1", "PG=abc,hls=1"),
        ("hls=2", "hls=2"),
        ("whatever", "whatever"),
        (",,", None),
        ("", None),
    ],
)
def test_arguments_have_one_spelling(told: str, arguments: str | None) -> None:
    """So that one podcast is one, and nothing that came is dropped but what was said twice."""
    prefix = parse_prefix(f"/e,{told}/example.com/a")

    assert plain_arguments(told) == arguments
    assert prefix is not None
    assert prefix.arguments == arguments


def test_arguments_behind_a_slash_are_arguments_all_the_same() -> None:
    """The slip is common enough to be meant."""
    prefix = parse_prefix(f"/e/pg={GUID.upper()},hls=0/example.com/a")

    assert prefix is not None
    assert prefix.arguments == f"pg={GUID},hls=0"


def test_the_inner_target_is_what_the_host_would_be_asked_for() -> None:
    """Byte for byte, from its first slash on."""
    prefix = parse_prefix("/e/http://click.example:8080//e/a%2Fb?c")

    assert prefix is not None
    assert (prefix.authority, prefix.inner()) == ("click.example:8080", "//e/a%2Fb?c")


@given(st.text(max_size=200))
def test_no_input_raises(text: str) -> None:
    """And whatever is accepted ends as it was given, in characters that a header may have."""
    prefix = parse_prefix(f"/e/{text}")

    if prefix is not None:
        assert f"/e/{text}".endswith(prefix.target.partition("://")[2])
        assert all("\x21" <= char <= "\x7e" for char in prefix.target)


@given(st.text("pgshlst=%3Dd0af-,x", max_size=120))
def test_no_arguments_raise(text: str) -> None:
    """One spelling is its own one spelling."""
    once = plain_arguments(text)

    assert once is None or plain_arguments(once) == once
