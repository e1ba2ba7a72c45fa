"""What is kept of a visit, and what is not."""

import orjson
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from milepost.record import encode_records
from milepost.visitor import visitor_hash
from milepost.vocabulary import Millis, Region, Salt
from regional_logger.decide import Decision
from regional_logger.remember import Memory, Visit, client_address, remember

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
    return remember(visit, PREFIX, region=Region("dfw"), salt=salt, addresses=addresses)


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
        ("/p?" + "a=1&" * 100, None, (None, None)),
    ],
)
def test_attribution(raw: str, referer: str | None, expected: tuple[str | None, ...]) -> None:
    """An explicit tag beats the Referer header; neither is fine too."""
    record = memory_of(raw, headers={"Referer": referer} if referer else {}).record

    assert (record.source, record.source_kind) == expected


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """A reader knows that the text goes on."""
    record = memory_of(headers={"User-Agent": "a" * 5_000}).record

    assert len(record.agent or "") == 1_024
    assert record.cut == "agent"


def test_any_bytes_can_be_encoded() -> None:
    """A header that is not UTF-8 comes in as surrogates and must not stop a batch."""
    record = memory_of(headers={"User-Agent": "\udcff\udcfe agent"}).record

    assert orjson.loads(encode_records([record]))["n"] == 1
