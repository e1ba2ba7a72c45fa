"""The decision, for every kind of visit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.links import Link
from milepost.vocabulary import LinkId
from regional_logger.decide import TARGET_CHARS_MAX, Rules, decide
from tests.edge.kit import NOON

PROMO = Link(id=LinkId("l1"), host="*", path="/promo", destination="https://example.com/p")


def find(_host: str, path: str) -> Link | None:
    """Know one link."""
    return PROMO if path == "/promo" else None


RULES = Rules(find_link=find)


@pytest.mark.parametrize(
    ("method", "raw", "status", "kind"),
    [
        ("GET", "/e/example.com/a", 302, "prefix"),
        ("HEAD", "/e/example.com/a", 302, "prefix"),
        ("GET", "/promo", 302, "link"),
        ("GET", "/promo?x=1", 302, "link"),
        ("GET", "/nothing", 404, "orphan"),
        ("GET", "/E/example.com/a", 404, "orphan"),
        ("GET", "/e", 404, "orphan"),
        ("GET", "/e/nope", 400, None),
        ("GET", "/", 200, None),
        ("GET", "/robots.txt", 200, None),
        ("GET", "/favicon.ico", 204, None),
        ("OPTIONS", "/e/example.com/a", 204, None),
        ("GET", "/a b", 400, None),
        ("GET", "/a\r\nx: y", 400, None),
        ("GET", "/caf\u00e9", 400, None),
        ("GET", "http://click.example/promo", 400, None),
        ("OPTIONS", "*", 400, None),
        ("OPTIONS", "/e/a b", 400, None),
        ("GET", "", 400, None),
        ("GET", "asdf", 400, None),
        ("GET", "/e/example.com/a\r\nx: y", 400, None),
        ("GET", "/e/example.com/a\x00", 400, None),
        ("GET", "/e/example.com/caf\u00e9", 400, None),
        ("GET", "/e/example.com/a b", 400, None),
        ("GET", "https://click.example/e/example.com/a", 400, None),
        ("GET", "click.example:443", 400, None),
        ("POST", "/e/example.com/a", 302, "prefix"),
        ("GET", "/e/" + "a" * TARGET_CHARS_MAX, 414, None),
        ("GET", "/" + "a" * TARGET_CHARS_MAX, 414, None),
    ],
)
def test_every_visit_gets_its_answer(method: str, raw: str, status: int, kind: str | None) -> None:
    """Status and whether it is remembered follow from the visit alone."""
    decision = decide(method, raw, "click.example", NOON, RULES)

    assert (decision.status, decision.kind) == (status, kind)


@pytest.mark.parametrize("host", ["localhost:8080", "example.org:80", "example.org", "op3.dev"])
@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/e/example.com/p/e.mp3", "https://example.com/p/e.mp3"),
        ("/e/http://example.com/p/e.mp3", "http://example.com/p/e.mp3"),
        (f"/e/pg={'0a' * 4}-0a0a-0a0a-0a0a-{'0a' * 6}/a.com/x", "https://a.com/x"),
    ],
)
def test_where_a_prefix_leads_is_the_same_on_every_host(host: str, raw: str, target: str) -> None:
    """To https unless it says http, whatever it was itself called over."""
    decision = decide("GET", raw, host, NOON, RULES)

    assert (decision.status, decision.target) == (302, target)


@pytest.mark.parametrize("raw", ["/e/a b", "/e/caf\u00e9.example/a", "/a b"])
def test_what_is_not_printable_is_told_so(raw: str) -> None:
    """Behind a prefix as elsewhere."""
    assert "percent-encoded" in decide("GET", raw, "click.example", NOON, RULES).body


def test_a_link_redirects_with_its_own_status() -> None:
    """Where to, how, and which link it was."""
    moved = replace(PROMO, status=308)

    decision = decide(
        "GET", "/promo", "click.example", NOON, Rules(find_link=lambda _host, _path: moved)
    )

    assert (decision.status, decision.target, decision.link) == (308, PROMO.destination, "l1")


@given(st.text(max_size=300))
def test_what_goes_into_a_header_is_printable(text: str) -> None:
    """Whatever comes in, no control character and no space goes out in Location."""
    decision = decide("GET", f"/e/example.com/{text}", "click.example", NOON, RULES)

    assert all("\x21" <= char <= "\x7e" for char in decision.target)
