"""What a token that a service keeps may be, and who may make, see or end it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from milepost.access.rules import (
    DAY_MS,
    RATE_DEFAULT,
    RATE_MAX,
    Managed,
    could_make,
    day_text,
    forgettable,
    new_managed,
)
from milepost.errors import ForbiddenError, RejectedError
from milepost.tokens import (
    EDGE_SCOPES,
    HITS_READ,
    HITS_WRITE,
    LINKS_READ,
    OPERATOR_SCOPES,
    PULL,
    TOKENS_WRITE,
    Principal,
)
from milepost.vocabulary import Millis

NOW = Millis(1_763_640_000_000)
KNOWN = (HITS_READ, HITS_WRITE, TOKENS_WRITE)
HASH = bytes(32)
HOSTS = st.frozensets(st.sampled_from(["a.example", "b.example:8080", "c.example"]))
TAGS = st.frozensets(st.sampled_from(["spring", "summer sale"]))
RATES = st.none() | st.integers(1, RATE_MAX)
ENDS = st.none() | st.integers(NOW + 1, NOW + 9)

MAKERS = st.builds(
    Principal,
    st.just("maker"),
    st.frozensets(st.sampled_from(KNOWN)),
    HOSTS,
    TAGS,
    RATES,
    ENDS,
)
WISHES = st.fixed_dictionaries(
    {
        "name": st.just("mine"),
        "scopes": st.lists(st.sampled_from(KNOWN), min_size=1, unique=True),
        "hosts": HOSTS.map(list),
        "tags": TAGS.map(list),
        "rate": RATES,
        "expires_ms": ENDS,
    }
)


def a_token(name: str = "mine", **changes: Any) -> Managed:
    """Return a token that may read hits."""
    values: dict[str, Any] = {
        "name": name,
        "hash": HASH,
        "scopes": frozenset({HITS_READ}),
        "hosts": frozenset(),
        "tags": frozenset(),
        "rate": RATE_DEFAULT,
        "created_ms": NOW,
        "created_by": "maker",
    }
    return Managed(**(values | changes))


@given(MAKERS, WISHES)
def test_a_token_may_never_do_more_than_its_maker(maker: Principal, wish: dict[str, Any]) -> None:
    """Whatever is asked for: it is refused, or within what the maker has in every way."""
    try:
        made = new_managed(wish, KNOWN, maker, NOW, HASH)
    except ForbiddenError:
        return
    assert made.scopes <= maker.scopes
    assert not maker.hosts or (made.hosts and made.hosts <= maker.hosts)
    assert not maker.tags or (made.tags and made.tags <= maker.tags)
    assert made.rate <= (maker.rate or RATE_MAX)
    assert maker.expires_ms is None or (made.expires_ms or NOW + 10) <= maker.expires_ms
    assert could_make(maker, made)


@given(MAKERS, WISHES, WISHES)
def test_nor_along_a_chain_of_makers(
    maker: Principal, first: dict[str, Any], second: dict[str, Any]
) -> None:
    """What is made with a token that was made is seen by the first maker as well."""
    try:
        made = new_managed(first, KNOWN, maker, NOW, HASH)
        again = new_managed(second, KNOWN, made.principal(), NOW, HASH)
    except RejectedError:
        return
    assert could_make(maker, again)


@given(WISHES)
def test_who_lacks_nothing_makes_anything(wish: dict[str, Any]) -> None:
    """And what was asked for is what is made."""
    made = new_managed(wish, KNOWN, Principal("all", frozenset(KNOWN)), NOW, HASH)

    assert made.scopes == frozenset(wish["scopes"])
    assert (made.hosts, made.tags) == (frozenset(wish["hosts"]), frozenset(wish["tags"]))
    assert (made.rate, made.expires_ms) == (wish["rate"] or RATE_DEFAULT, wish["expires_ms"])


def test_a_token_knows_when_it_has_ended() -> None:
    """From its last moment on, and from its revocation on whatever its end."""
    assert a_token(expires_ms=NOW + 1).ended(NOW) == ""
    assert a_token(expires_ms=NOW).ended(NOW) == "expired"
    assert a_token(expires_ms=NOW, revoked_ms=NOW).ended(NOW) == "revoked"


def test_what_ended_first_is_forgotten_first() -> None:
    """Whichever way it ended; what is in use never is."""
    tokens = [
        a_token("active"),
        a_token("later", expires_ms=NOW + 1),
        a_token("second", expires_ms=NOW - 1),
        a_token("first", expires_ms=NOW + 9, revoked_ms=NOW - 2),
    ]

    assert forgettable(tokens, NOW) == "first"
    assert forgettable(tokens[:3], NOW) == "second"
    assert forgettable(tokens[:2], NOW) is None


def test_a_token_does_not_print_its_hash() -> None:
    """Nor is it told."""
    token = a_token(hash=b"\x07" * 32)

    assert repr(b"\x07" * 32) not in repr(token)
    assert "hash" not in token.to_json(NOW)
    assert day_text(NOW // DAY_MS) == "2025-11-20"


def test_services_are_told_from_people() -> None:
    """By scopes that nobody else has; a rate of its own makes anybody a person."""
    assert Principal("edge", frozenset(EDGE_SCOPES)).of_service
    assert Principal("aggregator", frozenset({PULL, LINKS_READ})).of_service
    assert not Principal("operator", frozenset(OPERATOR_SCOPES)).of_service
    assert not Principal("reader", frozenset({LINKS_READ})).of_service
    assert not Principal("nobody", frozenset()).of_service
    assert not Principal("made", frozenset({PULL}), rate=1).of_service
