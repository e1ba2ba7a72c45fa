"""The decision, for every kind of visit."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.links import Link
from milepost.vocabulary import LinkId, Millis
from regional_logger.decide import TARGET_CHARS_MAX, UNDECIDED, Rules, decide
from regional_logger.links.table import COLD, LinkTable
from regional_logger.pages import ORPHAN_PAGE
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


def rules(*links: Link) -> Rules:
    """Return the rules of an edge with *links*, all of them in memory."""
    table = LinkTable(b"key")
    table.hold_all(links)
    return Rules(find_link=table.find)


@pytest.mark.parametrize(("expires", "status"), [(NOON + 1, 302), (NOON, 410), (NOON - 1, 410)])
def test_a_link_that_has_expired_leads_nowhere(expires: int, status: int) -> None:
    """It is gone, and its visit is an orphan that names it."""
    old = replace(PROMO, expires_ms=Millis(expires))

    decision = decide("GET", "/promo", "h", NOON, rules(old))

    assert (decision.status, decision.link) == (status, "l1")
    assert decision.kind == ("link" if status == 302 else "orphan")
    assert bool(decision.target) == (status == 302)
    assert PROMO.destination not in decision.body


def test_a_pattern_and_a_query_lead_on() -> None:
    """What stands in the place of the wildcard, and what stands behind the question mark."""
    docs = Link(
        id=LinkId("l2"), host="*", path="/d/*", destination="https://x.example/*", pass_query=True
    )

    decision = decide("GET", "/d/a/%2f?b=c?d", "h", NOON, rules(docs))

    assert decision.target == "https://x.example/a/%2f?b=c?d"
    assert (decision.kind, decision.link) == ("link", "l2")


def test_a_plus_shows_where_a_link_leads() -> None:
    """It is no visit of the link, whatever the query, and what it shows is escaped."""
    odd = replace(PROMO, destination="https://x.example/?a=<b>&c='\"", pass_query=True)

    decision = decide("GET", "/promo+?d=<e>", "h", NOON, rules(odd))

    assert (decision.status, decision.kind, decision.target) == (200, None, "")
    assert "https://x.example/?a=&lt;b&gt;&amp;c=&#x27;&quot;" in decision.body
    assert "<b>" not in decision.body
    assert "e&gt;" not in decision.body


def test_a_plus_is_part_of_a_path_where_a_link_has_it() -> None:
    """Then it leads on; and a pattern takes it as part of what it stands for."""
    plus = Link(id=LinkId("l3"), host="*", path="/promo+", destination="https://plus.example/")
    every = Link(id=LinkId("l4"), host="*", path="/*", destination="https://every.example/*")

    def told(path: str, *links: Link) -> tuple[int, str]:
        decision = decide("GET", path, "h", NOON, rules(*links))
        return decision.status, decision.target

    assert told("/promo+", PROMO, plus) == (302, "https://plus.example/")
    assert told("/promo+", PROMO, every) == (200, "")
    assert told("/c++", PROMO, every) == (302, "https://every.example/c++")
    assert told("/promo++", PROMO) == (404, "")
    assert told("/nothing+", PROMO) == (404, "")


def test_a_plus_after_an_expired_link_shows_nothing() -> None:
    """It is gone for everybody, and nobody counts the look."""
    old = replace(PROMO, expires_ms=Millis(1))

    decision = decide("GET", "/promo+", "h", NOON, rules(old))

    assert (decision.status, decision.kind) == (410, None)
    assert PROMO.destination not in decision.body


@pytest.mark.parametrize("path", ["/cold", "/cold+"])
def test_nothing_is_decided_about_a_link_on_disk(path: str) -> None:
    """Neither where it leads nor what it shows."""
    decision = decide(
        "GET", path, "h", NOON, Rules(find_link=lambda _, at: COLD if at == "/cold" else None)
    )

    assert decision is UNDECIDED


@given(st.text(max_size=300))
def test_no_page_repeats_a_visit(text: str) -> None:
    """An orphan's page is the same for everybody."""
    decision = decide("GET", f"/x{text}", "h", NOON, rules())

    assert decision.status != 404 or decision.body == ORPHAN_PAGE


@given(st.text(max_size=300))
def test_what_goes_into_a_header_is_printable(text: str) -> None:
    """Whatever comes in, no control character and no space goes out in Location."""
    decision = decide("GET", f"/e/example.com/{text}", "click.example", NOON, RULES)

    assert all("\x21" <= char <= "\x7e" for char in decision.target)
