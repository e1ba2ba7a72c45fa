"""The secrets of a platform on one machine."""

import os
from pathlib import Path

import orjson
import pytest

from milepost.dev.credentials import ensure_credentials
from milepost.errors import ConfigError
from milepost.seal import address_mac_key, token_id
from milepost.tokens import DRAINED, FEED, OPEN, PULL, MacKeys, TokenBook


def test_every_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The folder 0700, each file 0600, and no draft is left."""
    folder = tmp_path / "secrets"
    ensure_credentials(folder, ["dfw"], os.urandom)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.iterdir()) == [
        *("aggregator", "edge-dfw", "key_server", "master.key", "operator", "read", "tokens.json")
    ]


def test_secrets_stay_what_they_are(tmp_path: Path) -> None:
    """Started again, the platform goes on with the same tokens and keys."""
    before = ensure_credentials(tmp_path, ["dfw"], os.urandom)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    after = ensure_credentials(tmp_path, ["dfw"], os.urandom)

    assert after == before
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_new_region_gets_a_token(tmp_path: Path) -> None:
    """And whoever a person added to the file stays in it."""
    ensure_credentials(tmp_path, ["dfw"], os.urandom)
    book = tmp_path / "tokens.json"
    document = orjson.loads(book.read_bytes())
    document["tokens"].append({"name": "mine", "scopes": ["pull"], "hash": "00" * 32})
    book.write_bytes(orjson.dumps(document))
    ensure_credentials(tmp_path, ["dfw", "cdg"], os.urandom)

    names = [entry["name"] for entry in orjson.loads(book.read_bytes())["tokens"]]
    assert names == ["operator", "read", "aggregator", "key_server", "edge-dfw", "edge-cdg", "mine"]


def test_an_older_tokens_file_gets_mac_keys(tmp_path: Path) -> None:
    """A platform that goes on after an upgrade hashes what its edges sealed."""
    ensure_credentials(tmp_path, ["dfw"], os.urandom)
    book = tmp_path / "tokens.json"
    document = orjson.loads(book.read_bytes())
    for entry in document["tokens"]:
        entry.pop("token_id", None)
        entry.pop("mac_key", None)
    book.write_bytes(orjson.dumps(document))
    ensure_credentials(tmp_path, ["dfw"], os.urandom)

    token = (tmp_path / "edge-dfw").read_text().strip()
    assert MacKeys.load(book).without == ()
    assert MacKeys.load(book).known[token_id(token)] == address_mac_key(token)


def test_each_token_may_do_its_own_work(tmp_path: Path) -> None:
    """An edge follows the feed but cannot pull; the aggregator pulls and opens."""
    ensure_credentials(tmp_path, ["dfw"], os.urandom)
    book = TokenBook.load(tmp_path / "tokens.json")

    def scopes(name: str) -> frozenset[str]:
        token = (tmp_path / name).read_text().strip()
        return book.authenticate(f"Bearer {token}").scopes

    assert FEED in scopes("edge-dfw")
    assert PULL not in scopes("edge-dfw")
    assert {PULL, OPEN} <= scopes("aggregator")
    assert scopes("key_server") == {DRAINED}
    assert "addresses" not in scopes("operator")


def test_credentials_do_not_print(tmp_path: Path) -> None:
    """A token in a log line is a leak."""
    credentials = ensure_credentials(tmp_path, [], os.urandom)

    assert credentials.operator not in repr(credentials)


def test_a_damaged_tokens_file_is_named(tmp_path: Path) -> None:
    """Nothing is thrown away without a person's word."""
    (tmp_path / "tokens.json").write_text("{")

    with pytest.raises(ConfigError, match=r"tokens.json is damaged: delete it"):
        ensure_credentials(tmp_path, [], os.urandom)
