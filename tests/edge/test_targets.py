"""Where prefixes may lead: not in circles, and only to hosts that are let."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.links import Link
from regional_logger.decide import NESTED_MAX, Decision, Rules, decide
from regional_logger.targets import (
    HostList,
    OwnHosts,
    canonical,
    nobody,
    own_host,
    read_hosts,
    read_lines,
    without_port,
)
from tests.edge.kit import NOON
from tests.edge.links_world import a_link

HERE = "click.example"
NAMED = frozenset({"other.example", "dev.example:8080"})
OF_LINKS = frozenset({"links.example", "ported.example:8443"})


def nothing(_host: str, _path: str) -> Link | None:
    """Know no link."""
    return None


def told(raw: str, host: str = HERE, rules: Rules | None = None) -> Decision:
    """Return what a visit to *raw* gets from a service that also has other names."""
    own = OwnHosts(NAMED, OF_LINKS.__contains__)
    return decide("GET", raw, host, NOON, rules or Rules(find_link=nothing, is_own_host=own.holds))


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        ("/e/click.example/e/a.example/b", "https://a.example/b"),
        ("/e/http://click.example/e/http://a.example/b", "http://a.example/b"),
        ("/e/http://click.example/e/a.example/b", "https://a.example/b"),
        ("/e/CLICK.Example/e/a.example/b", "https://a.example/b"),
        ("/e/click.example./e/a.example/b", "https://a.example/b"),
        ("/e/click.example:443/e/a.example/b", "https://a.example/b"),
        ("/e/click.example:80/e/a.example/b", "https://a.example/b"),
        ("/e/click.example.:443/e/a.example/b", "https://a.example/b"),
        ("/e/other.example/e/a.example/b", "https://a.example/b"),
        ("/e/other.example:9999/e/a.example/b", "https://a.example/b"),
        ("/e/dev.example:8080/e/a.example/b", "https://a.example/b"),
        ("/e/links.example/e/a.example/b", "https://a.example/b"),
        ("/e/links.example:1234/e/a.example/b", "https://a.example/b"),
        ("/e/ported.example:8443/e/a.example/b", "https://a.example/b"),
        ("/e/ported.example/e/a.example/b", "https://ported.example/e/a.example/b"),
        ("/e/click.example/e/other.example/e//a.example/b?c=%2F", "https://a.example/b?c=%2F"),
        (
            "/e/a.example/e/click.example/e/b.example/c",
            "https://a.example/e/click.example/e/b.example/c",
        ),
        ("/e/click.example:8080/e/a.example/b", "https://click.example:8080/e/a.example/b"),
        ("/e/dev.example/e/a.example/b", "https://dev.example/e/a.example/b"),
        ("/e/sub.click.example/e/a.example/b", "https://sub.click.example/e/a.example/b"),
    ],
)
def test_prefixes_in_one_another_are_one_redirect(raw: str, target: str) -> None:
    """Whichever name of this service stands in them, and however it is written."""
    decision = told(raw)

    assert (decision.status, decision.kind, decision.target) == (302, "prefix", target)


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        ("/e/click.example/promo", "own"),
        ("/e/http://click.example/promo", "own"),
        ("/e/links.example/promo", "own"),
        ("/e/other.example/e", "own"),
        ("/e/click.example/%65/a.example/b", "own"),
        ("/e/click.example//e/a.example/b", "own"),
        ("/e/click.example/./e/a.example/b", "own"),
        ("/e/click.example/e/click.example/robots.txt", "own"),
        ("/e/click.example/e/nonsense", "malformed"),
        ("/e/click.example/e/", "malformed"),
        ("/e/click.example" * NESTED_MAX + "/e/a.example/b", "nested"),
        ("/e/click.example" * 200 + "/e/a.example/b", "nested"),
    ],
)
def test_what_leads_back_here_is_refused(raw: str, refusal: str) -> None:
    """With one line that says why, instead of a circle."""
    decision = told(raw)

    assert (decision.status, decision.kind, decision.refusal) == (400, None, refusal)
    assert decision.target == ""
    assert decision.body.count("\n") == 1


def test_prefixes_may_nest_up_to_a_bound() -> None:
    """One less than what is refused."""
    decision = told("/e/click.example" * (NESTED_MAX - 1) + "/e/a.example/b")

    assert decision.target == "https://a.example/b"


@pytest.mark.parametrize(
    ("host", "raw", "same"),
    [
        ("127.0.0.1:8080", "/e/127.0.0.1:8080/promo", True),
        ("127.0.0.1:8080", "/e/127.0.0.1:8081/promo", False),
        ("127.0.0.1:8080", "/e/127.0.0.1/promo", False),
        ("Click.Example.", "/e/click.example/promo", True),
        ("click.example:80", "/e/click.example/promo", True),
        ("click.example:", "/e/click.example/promo", True),
        ("[::1]:8080", "/e/a.example/promo", False),
        ("", "/e/a.example/promo", False),
        (":", "/e/a.example/promo", False),
        ("\udce9", "/e/a.example/promo", False),
    ],
)
def test_the_host_that_the_visit_names_is_this_service(host: str, raw: str, same: bool) -> None:  # noqa: FBT001
    """With its port as sent, as two regions on one machine differ in nothing else."""
    decision = told(raw, host, Rules(find_link=nothing))

    assert (decision.refusal == "own") is same


pieces = st.sampled_from(
    [
        *("/e/", "/e,x/", "/", "//", "http://", "HTTPS:/", "e", "promo", "a.example/b", "%65", "."),
        *("click.example", "Click.EXAMPLE.", "other.example:1", "dev.example:8080", "?", ":443"),
    ]
)


@given(st.lists(pieces, max_size=24), st.sampled_from([HERE, "CLICK.example.:80", "x", ""]))
def test_no_prefix_leads_to_this_service(parts: list[str], host: str) -> None:
    """However its names and its prefixes stand in one another."""
    decision = told("/e/" + "".join(parts), host)

    authority = canonical(decision.target.split("/")[2]) if decision.target else ""
    assert authority != canonical(host) or not authority
    assert without_port(authority) != "other.example"
    assert authority != "dev.example:8080"


def test_the_outermost_arguments_count() -> None:
    """They are those of who put the last prefix in front; without any, the next."""
    both = told("/e,a=1/click.example/e,a=2/a.example/b")
    inner = told("/e/click.example/e,a=2/a.example/b")

    assert (both.arguments, inner.arguments) == ("a=1", "a=2")


def test_a_trailing_space_is_kept_and_named() -> None:
    """It is in the address that was asked for, and hardly ever meant."""
    odd = [told(f"/e/a.example/b{end}") for end in ("%20", "%20%20", "?c=d%20")]
    nested = told("/e/click.example/e/a.example/b%20")

    assert [each.oddity for each in (*odd, nested)] == ["trailing_space"] * 4
    assert odd[1].target == "https://a.example/b%20%20"
    assert told("/e/a.example/b%20c").oddity is None


def rules(allowed: str = "", banned: str = "") -> Rules:
    """Return rules with the lists given."""
    may, never = read_hosts(allowed.split()).hosts, read_hosts(banned.split()).hosts
    own = OwnHosts(frozenset({HERE}), nobody)
    return Rules(
        find_link=lambda _host, _path: a_link("1"),
        is_own_host=own.holds,
        is_allowed=may.holds if allowed else None,
        is_banned=never.holds if banned else None,
    )


@pytest.mark.parametrize(
    ("raw", "allowed", "banned", "refusal"),
    [
        ("/e/a.example/b", "a.example", "", None),
        ("/e/A.Example.:8080/b", "a.example", "", None),
        ("/e/sub.a.example/b", "a.example", "", "not_allowed"),
        ("/e/a.example/b", "*.a.example", "", "not_allowed"),
        ("/e/x.y.a.example/b", "*.a.example", "", None),
        ("/e/nota.example/b", "*.a.example", "", "not_allowed"),
        ("/e/click.example/e/a.example/b", "a.example", "", None),
        ("/e/click.example/e/c.example/b", "click.example a.example", "", "not_allowed"),
        ("/e/a.example/b", "", "a.example", "banned"),
        ("/e/a.EXAMPLE.:99/b", "", "a.example", "banned"),
        ("/e/click.example/e/a.example/b", "", "a.example", "banned"),
        ("/e/b.example/b", "", "a.example", None),
        ("/e/x.y.bad.example/b", "", "*.bad.example", "banned"),
        ("/e/bad.example/b", "", "*.bad.example", None),
        ("/e/x.a.example/b", "*.a.example", "x.a.example", "banned"),
        ("/e/" + "a." * 1500 + "example/b", "", "*.example", None),
        ("/e/" + "a." * 1500 + "example/b", "*.example", "", "not_allowed"),
        ("/promo", "a.example", "shop.example", None),
    ],
)
def test_who_may_be_redirected_to(raw: str, allowed: str, banned: str, refusal: str | None) -> None:
    """Prefixes lead where the lists let them; links lead where their owner says."""
    decision = told(raw, rules=rules(allowed, banned))

    assert decision.refusal == refusal
    assert (decision.status, decision.kind is None) == (
        (302, False) if not refusal else (400, True)
    )


def test_root_leads_where_it_is_told_but_not_to_itself() -> None:
    """Also when the setting names this service by another of its names."""
    own = OwnHosts(NAMED, nobody).holds

    def at_root(url: str, raw: str = "/") -> tuple[int, str, str | None]:
        decision = told(raw, rules=Rules(find_link=nothing, is_own_host=own, root_url=url))
        return decision.status, decision.target, decision.kind

    assert at_root("https://example.com/about?x") == (302, "https://example.com/about?x", None)
    assert at_root("https://example.com", "/?a=b") == (302, "https://example.com", None)
    assert at_root("https://click.example/promo") == (302, "https://click.example/promo", None)
    assert at_root("") == (200, "", None)
    assert at_root("https://click.example") == (200, "", None)
    assert at_root("https://Click.example/") == (200, "", None)
    assert at_root("https://me@click.example?x") == (200, "", None)
    assert at_root("http://other.example:90/?x") == (200, "", None)


def test_a_list_is_read_line_by_line() -> None:
    """Comments and empty lines mean nothing; what is no host is named with its line."""
    text = "# bad ones\n\nA.example  # loud\r\n*.B.example.\nhttp://c.example/\nd.example:80\n*\n"

    hosts, faults = read_lines(text)

    assert hosts == HostList(frozenset({"a.example"}), frozenset({"b.example"}))
    assert faults == ("line 5: 'http://c.example/'", "line 6: 'd.example:80'", "line 7: '*'")


@pytest.mark.parametrize(
    "entry", ["", "a b", "-a.example", "a..b", "é.example", "a/b", "*.", "a.*"]
)
def test_what_is_no_host_is_told(entry: str) -> None:
    """Rather than never match anything."""
    assert read_hosts([entry]).faults == (repr(entry),)
    assert own_host(entry) is None


@given(st.text("aB.:8043", max_size=30))
def test_a_canonical_name_stays_as_it_is(text: str) -> None:
    """Once is enough, for whatever a header may say."""
    name = canonical(text)

    assert name == name.lower()
    if own_host(text) is not None:
        assert canonical(name) == name
