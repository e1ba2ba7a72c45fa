"""What is kept of a visit, and what is not."""

from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from milepost.record import encode_records
from milepost.visitor import visitor_hash
from milepost.vocabulary import Millis, Region, Salt
from regional_logger.decide import Decision
from regional_logger.place import FindPlace, Place
from regional_logger.remember import Memory, Visit, client_address, remember, visitor_of

# Of these a query is made that a reader of queries may get wrong.
PIECES = [
    *("ref", "source", "utm_source", "utm%5fsource", "%72ef", "s%6Furce", "re%66", "_ulid"),
    *("&", "&", "&", "=", "=", ";", "+", "%", "%3D", "%26", "%C3%A9", "%ff", "a", "b", "?"),
]
SALT = Salt(b"s" * 32)
PREFIX = Decision(status=302, kind="prefix", target="https://example.com/a")


def memory_of(
    raw: str = "/e/example.com/a",
    *,
    headers: dict[str, str] | None = None,
    lines: list[tuple[str, str]] | None = None,
    salt: Salt | None = SALT,
    addresses: str = "missing",
    address: str = "203.0.113.9",
    find_place: FindPlace | None = None,
) -> Memory:
    """Return what is kept of one visit."""
    visit = Visit(
        time=Millis(1),
        method="GET",
        raw_target=raw,
        host="click.example",
        headers=CIMultiDictProxy(CIMultiDict(lines or headers or {})),
        address=address,
    )
    visitor = visitor_of(visit, salt, find_place)
    return remember(visit, PREFIX, visitor, region=Region("dfw"), addresses=addresses)


def test_with_a_salt_only_the_hash_is_kept() -> None:
    """The address itself is nowhere in what is kept."""
    memory = memory_of()

    assert memory.record.visitor == visitor_hash(SALT, "203.0.113.9")
    assert memory.address is None
    assert "203.0.113" not in repr(memory.record)


@pytest.mark.parametrize(
    ("source", "told", "expected"),
    [
        ("peer", ["203.0.113.7"], "10.0.0.1"),
        ("fly", ["203.0.113.7"], "203.0.113.7"),
        ("fly", ["203.0.113.7", "203.0.113.8"], "10.0.0.1"),
        ("fly", [], "10.0.0.1"),
    ],
    ids=["not configured", "configured", "sent twice", "missing"],
)
def test_who_the_visitor_is(source: str, told: list[str], expected: str) -> None:
    """The proxy's header counts only where a proxy is known to write it."""
    headers = CIMultiDict([("Fly-Client-IP", address) for address in told])

    assert client_address(CIMultiDictProxy(headers), "10.0.0.1", source) == expected


@pytest.mark.parametrize(
    ("source", "lines", "expected"),
    [
        ("forwarded:1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("forwarded:2", ["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("forwarded:1", ["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
        ("forwarded:2", ["203.0.113.7"], "10.0.0.1"),
        ("forwarded:1", ["unknown"], "10.0.0.1"),
        ("forwarded:1", ["203.0.113.7, "], "10.0.0.1"),
        ("forwarded:1", [], "10.0.0.1"),
        ("peer", ["203.0.113.7"], "10.0.0.1"),
        ("fly", ["203.0.113.7"], "10.0.0.1"),
    ],
)
def test_a_chain_of_proxies_is_counted_from_its_trusted_end(
    source: str, lines: list[str], expected: str
) -> None:
    """Whatever a visitor writes in front, and however the lines are split."""
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])

    assert client_address(CIMultiDictProxy(headers), "10.0.0.1", source) == expected


@pytest.mark.parametrize(
    ("addresses", "salt", "kept"),
    [
        ("missing", None, True),
        ("missing", SALT, False),
        ("all", SALT, True),
        ("off", None, False),
    ],
)
def test_whose_address_is_sealed(addresses: str, salt: Salt | None, kept: bool) -> None:  # noqa: FBT001
    """By default only of those that could not be hashed."""
    assert (memory_of(addresses=addresses, salt=salt).address is not None) == kept


@pytest.mark.parametrize(
    "lines",
    [[("Sec-GPC", "1")], [("dnt", "1")], [("DNT", "0"), ("DNT", "1")], [("DNT", "0, 1")]],
)
def test_who_opts_out_leaves_neither_hash_nor_address(lines: list[tuple[str, str]]) -> None:
    """Whatever the setting says, and however often the header comes."""
    memory = memory_of(lines=lines, addresses="all")

    assert memory.record.visitor is None
    assert memory.address is None
    assert memory.record.opt_out is True


@pytest.mark.parametrize(
    ("raw", "referer", "expected"),
    [
        ("/p?ref=a&source=b", "https://r.example/", ("a", "explicit")),
        ("/p?utm_source=mail", None, ("mail", "explicit")),
        ("/p?ref=", "https://r.example/", ("https://r.example/", "implicit")),
        ("/p", None, (None, None)),
        ("/p", "", (None, None)),
        ("/p?", "https://r.example/", ("https://r.example/", "implicit")),
        ("/p?utm_source=c&source=b&ref=a", None, ("a", "explicit")),
        ("/p?utm_source=c&source=b", None, ("b", "explicit")),
        ("/p?ref=a&ref=b", None, ("a", "explicit")),
        ("/p?ref=&ref=b&source=c", None, ("c", "explicit")),
        ("/p?ref&ref=b", "https://r.example/", ("https://r.example/", "implicit")),
        ("/p?ref=a+b%20c%2Bd", None, ("a b c+d", "explicit")),
        ("/p?ref=%C3%A9%ff%zz%", None, ("é\ufffd%zz%", "explicit")),
        ("/p?ref=a=b?c;d", None, ("a=b?c;d", "explicit")),
        ("/p?a=1;ref=b", None, (None, None)),
        ("/p?utm%5Fsource=a", None, ("a", "explicit")),
        ("/p?%72%65%66=a&ref=b", None, ("a", "explicit")),
        ("/p?ref=b&%72ef=a", None, ("b", "explicit")),
        ("/p?utm%255Fsource=a", None, (None, None)),
        ("/p?Ref=a&xref=b&refs=c&ref+=d&%20ref=e", None, (None, None)),
        ("/p?ref=%20", None, (" ", "explicit")),
        ("/p?&&ref=a&&", None, ("a", "explicit")),
        ("/p?a=1#&ref=b", None, (None, None)),
        ("/ref=a", None, (None, None)),
        ("/p?" + "a=1&" * 100, None, (None, None)),
        ("/p?" + "a=1&" * 900 + "ref=a", None, ("a", "explicit")),
    ],
)
def test_attribution(raw: str, referer: str | None, expected: tuple[str | None, ...]) -> None:
    """An explicit tag beats the Referer header; neither is fine too."""
    record = memory_of(raw, headers={"Referer": referer} if referer else {}).record

    assert (record.source, record.source_kind) == expected


def test_an_attribution_that_is_too_long_is_cut_and_says_so() -> None:
    """As any other text; the path holds it whole."""
    raw = f"/p?ref={'a' * 2_000}&_ulid={'b' * 2_000}"
    record = memory_of(raw).record

    assert (len(record.source or ""), len(record.ulid or "")) == (1_024, 1_024)
    assert record.cut == "ulid,source"
    assert record.path == raw


def url_search_params(query: str, name: str) -> str | None:
    """Return what `URLSearchParams.get` would, by another way: the standard library's."""
    return next((value for key, value in parse_qsl(query, True) if key == name), None)  # noqa: FBT003


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_attribution_is_what_a_browser_would_read(query: str) -> None:
    """The first tag in order that says something, however it is spelled."""
    told = [url_search_params(query, tag) for tag in ("ref", "source", "utm_source")]

    assert memory_of(f"/p?{query}").record.source == next(filter(None, told), None)


def test_a_record_knows_where_it_came_from() -> None:
    """What is found is kept, and what was asked about is not."""
    asked: list[str] = []

    def find(address: str) -> Place:
        asked.append(address)
        return Place("US", "TX", 64_500)

    record = memory_of(find_place=find).record

    assert (record.country, record.subdivision, record.asn) == ("US", "TX", 64_500)
    assert asked == ["203.0.113.9"]
    assert "203.0.113" not in repr(record)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::FFFF:cb00:7109", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_whole_address_is_looked_up(address: str, expected: str) -> None:
    """A file may know more of it than what a visitor counts as."""
    asked: list[str] = []

    def find(address: str) -> Place:
        asked.append(address)
        return Place()

    memory_of(address=address, find_place=find)

    assert asked == [expected]


@pytest.mark.parametrize("header", ["Sec-GPC", "DNT"])
def test_who_opts_out_is_not_looked_up(header: str) -> None:
    """Not even the country is kept."""

    def find(_address: str) -> Place:
        raise AssertionError

    record = memory_of(headers={header: "1"}, find_place=find).record

    assert (record.country, record.subdivision, record.asn) == (None, None, None)


@pytest.mark.parametrize("address", ["", "unknown", "/run/socket"])
def test_what_is_no_address_is_not_looked_up(address: str) -> None:
    """A peer without one is from nowhere."""

    def find(_address: str) -> Place:
        raise AssertionError

    assert memory_of(address=address, find_place=find).record.country is None


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """A reader knows that the text goes on."""
    record = memory_of(headers={"User-Agent": "a" * 5_000}).record

    assert len(record.agent or "") == 1_024
    assert record.cut == "agent"


def test_any_bytes_can_be_encoded() -> None:
    """A header that is not UTF-8 comes in as surrogates and must not stop a batch."""
    record = memory_of(headers={"User-Agent": "\udcff\udcfe agent"}).record

    assert orjson.loads(encode_records([record]))["n"] == 1
