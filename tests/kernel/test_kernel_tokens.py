"""Bearer tokens."""

import hmac
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import ConfigError, ForbiddenError, UnauthorizedError
from milepost.seal import address_mac_key, token_id
from milepost.tokens import (
    ADDRESSES,
    AGGREGATOR_SCOPES,
    EDGE_SCOPES,
    OPERATOR_SCOPES,
    PULL,
    QUERY_SCOPES,
    MacKeys,
    Principal,
    TokenBook,
    new_token,
    token_hash,
    tokens_document,
)
from milepost.vocabulary import Scope
from tests.authorisation import ALL_SCOPES

TOKENS = {name: f"milepost_{2 * name}" for name in ("a", "b", "c")}


def a_book(tmp_path: Path) -> TokenBook:
    """Return a book with three callers."""
    file = tmp_path / "tokens.json"
    file.write_bytes(tokens_document((name, (PULL,), token) for name, token in TOKENS.items()))
    return TokenBook.load(file)


def test_a_new_token_is_256_random_bits_behind_a_prefix() -> None:
    """The prefix lets scanners find a leaked one; the rest is chance."""
    assert new_token(lambda size: b"\xab" * size) == "milepost_" + "ab" * 32


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_a_known_token_names_its_holder(name: str, scheme: str, tmp_path: Path) -> None:
    """The scheme's case does not matter (RFC 9110); the place in the file does not either."""
    assert a_book(tmp_path).authenticate(scheme + TOKENS[name]).name == name


@pytest.mark.parametrize(
    "header",
    [None, "", "Basic abc", "Bearer", "Bearer ", f"Bearer {TOKENS['a']}x", TOKENS["a"]],
)
def test_nobody_we_know(header: str | None, tmp_path: Path) -> None:
    """Whatever is not a known bearer token is a 401, and its text holds no token."""
    with pytest.raises(UnauthorizedError) as caught:
        a_book(tmp_path).authenticate(header)

    assert TOKENS["a"] not in str(caught.value)


def test_the_scopes_that_are_tried_are_those_that_there_are() -> None:
    """A name in capitals that is no scope would make tokens of nonsense, and prove nothing."""
    assert {*OPERATOR_SCOPES, ADDRESSES} == ALL_SCOPES
    assert all(scope.replace(":", "").isalpha() for scope in ALL_SCOPES)


@given(st.text(st.characters(), max_size=40))
def test_any_header_is_answered(text: str) -> None:
    """Bytes that are no text reach us as lone surrogates, and are a 401 like the rest."""
    with pytest.raises(UnauthorizedError):
        TokenBook([]).authenticate(f"Bearer {text}")


@pytest.mark.parametrize("name", [*TOKENS, "nobody"])
def test_every_entry_is_compared_whoever_calls(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is the same for the first, the last and no match: time tells nothing."""
    book = a_book(tmp_path)
    compared: list[bytes] = []

    def compare(known: bytes, shown: bytes) -> bool:
        compared.append(known)
        return known == shown

    monkeypatch.setattr(hmac, "compare_digest", compare)
    try:
        book.authenticate("Bearer " + TOKENS.get(name, "unknown"))
    except UnauthorizedError:
        assert name == "nobody"

    assert compared == [token_hash(token) for token in TOKENS.values()]


def test_a_scope_must_have_been_granted() -> None:
    """The text names the scope that is missing, so that it can be asked for."""
    principal = Principal("report", frozenset(QUERY_SCOPES))

    principal.require(QUERY_SCOPES[0])
    with pytest.raises(ForbiddenError, match="'report' lacks the scope 'pull'"):
        principal.require(PULL)


def test_the_operator_may_not_read_addresses() -> None:
    """That scope is held by nobody by default, the operator included."""
    assert Scope("addresses") == ADDRESSES
    assert ADDRESSES not in {*OPERATOR_SCOPES, *EDGE_SCOPES, *AGGREGATOR_SCOPES, *QUERY_SCOPES}


def test_a_tokens_file_holds_no_token() -> None:
    """Who reads the file learns who may call, and cannot."""
    document = tokens_document([("a", (PULL,), TOKENS["a"])])

    assert TOKENS["a"].encode() not in document
    assert token_hash(TOKENS["a"]).hex().encode() in document


@pytest.mark.parametrize(
    "content",
    [None, b"", b"[]", b"{}", b'{"tokens": [{}]}', b'{"tokens": [{"name":"a","hash":"x"}]}'],
)
def test_a_tokens_file_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    """The error names the file, and what it should hold or why it cannot be read."""
    file = tmp_path / "tokens.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=r"tokens file .*tokens\.json: (want|No such file)"):
        TokenBook.load(file)


def test_edges_have_a_mac_key_in_the_file(tmp_path: Path) -> None:
    """By the id of their token; nobody else has one, and none is in a repr."""
    file = tmp_path / "tokens.json"
    entries = [("edge", EDGE_SCOPES, TOKENS["a"]), ("reader", AGGREGATOR_SCOPES, TOKENS["b"])]
    file.write_bytes(tokens_document(entries))
    keys = MacKeys.load(file)

    assert keys.known == {token_id(TOKENS["a"]): address_mac_key(TOKENS["a"])}
    assert keys.without == ()
    assert "known" not in repr(keys)
    assert TokenBook.load(file).authenticate(f"Bearer {TOKENS['a']}").name == "edge"


def test_an_older_file_names_the_edges_without_a_mac_key(tmp_path: Path) -> None:
    """It is good for everything but their address boxes."""
    file = tmp_path / "tokens.json"
    document = orjson.loads(tokens_document([("edge", EDGE_SCOPES, TOKENS["a"])]))
    del document["tokens"][0]["mac_key"]
    file.write_bytes(orjson.dumps(document))

    assert MacKeys.load(file) == MacKeys({}, ("edge",))


def test_a_mac_key_that_is_none_is_refused(tmp_path: Path) -> None:
    """With the file and the field, and without what stands there."""
    file = tmp_path / "tokens.json"
    document = orjson.loads(tokens_document([("edge", EDGE_SCOPES, TOKENS["a"])]))
    document["tokens"][0]["mac_key"] = "secret"
    file.write_bytes(orjson.dumps(document))

    with pytest.raises(ConfigError, match=r"tokens\.json: mac_key: want 64 hex digits"):
        MacKeys.load(file)
