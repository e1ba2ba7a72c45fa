"""The secrets of a platform on one machine: made once, then kept.

One file each under DIR/secrets, all for their owner alone.  A file is complete
or absent: it is written under another name and then renamed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from milepost.clock import Entropy
from milepost.errors import ConfigError
from milepost.files import put_in_place
from milepost.tokens import (
    AGGREGATOR_SCOPES,
    EDGE_SCOPES,
    KEY_SERVER_SCOPES,
    OPERATOR_SCOPES,
    QUERY_SCOPES,
    new_token,
    tokens_document,
)
from milepost.vocabulary import Scope

MASTER_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Credentials:
    """What people need; services read their own files."""

    operator: str = field(repr=False)
    read: str = field(repr=False)


def ensure_credentials(folder: Path, regions: Iterable[str], entropy: Entropy) -> Credentials:
    """Make whatever *folder* lacks, and return the tokens for people."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _kept(folder / "master.key", lambda: entropy(MASTER_KEY_BYTES).hex())
    ours = [
        (name, scopes, _kept(folder / name, lambda: new_token(entropy)))
        for name, scopes in _holders(regions)
    ]
    book = folder / "tokens.json"
    before = book.read_bytes() if book.exists() else b""
    after = merged(before, ours)
    if after != before:
        put_in_place(book, after)
    tokens = {name: token for name, _scopes, token in ours}
    return Credentials(tokens["operator"], tokens["read"])


def merged(document: bytes, ours: list[tuple[str, tuple[Scope, ...], str]]) -> bytes:
    """Return the tokens file *document* with *ours* in it and everybody else's left as they are."""
    fresh: list[dict[str, Any]] = orjson.loads(tokens_document(ours))["tokens"]
    names = {entry["name"] for entry in fresh}
    try:
        there = orjson.loads(document)["tokens"] if document else []
        others = [entry for entry in there if entry["name"] not in names]
    except (KeyError, TypeError, ValueError) as error:
        msg = "secrets/tokens.json is damaged: delete it, and the next start makes it anew"
        raise ConfigError(msg) from error
    return orjson.dumps({"tokens": [*fresh, *others]}, option=orjson.OPT_INDENT_2)


def _holders(regions: Iterable[str]) -> list[tuple[str, tuple[Scope, ...]]]:
    return [
        ("operator", OPERATOR_SCOPES),
        ("read", QUERY_SCOPES),
        ("aggregator", AGGREGATOR_SCOPES),
        ("key_server", KEY_SERVER_SCOPES),
        *((f"edge-{region}", EDGE_SCOPES) for region in regions),
    ]


def _kept(path: Path, make: Callable[[], str]) -> str:
    try:
        kept = path.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = make()
        put_in_place(path, kept.encode() + b"\n")
    return kept
