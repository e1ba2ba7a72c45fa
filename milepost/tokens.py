"""Bearer tokens: who calls, and what they may do.

A tokens file holds names, scopes and hashes, never a token.  A token is 256
random bits, so a plain hash of it is as good as a slow one.  Every comparison
takes the same time whether and where it matches.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from milepost.clock import Entropy
from milepost.errors import ConfigError, ForbiddenError, UnauthorizedError
from milepost.vocabulary import Scope

TOKEN_BYTES = 32
BEARER = "bearer "

EDGE = Scope("edge")  # epochs and salts from the key server
FEED = Scope("feed")  # the link feed from the registry
PULL = Scope("pull")  # batches from an edge
ACKNOWLEDGE = Scope("acknowledge")  # let an edge forget what is safe elsewhere
OPEN = Scope("open")  # record keys and hashes from the key server
HITS_READ = Scope("hits:read")  # the aggregator's query API
HITS_WRITE = Scope("hits:write")  # have the aggregator try again what it set aside
LINKS_READ = Scope("links:read")
LINKS_WRITE = Scope("links:write")
KEYS_READ = Scope("keys:read")  # the epochs' states, nothing secret
KEYS_WRITE = Scope("keys:write")  # rotate and destroy
DRAINED = Scope("drained")  # ask the aggregator what still needs an epoch's record key

QUERY_SCOPES = (HITS_READ, LINKS_READ)
EDGE_SCOPES = (EDGE, FEED)
AGGREGATOR_SCOPES = (PULL, ACKNOWLEDGE, OPEN)
KEY_SERVER_SCOPES = (DRAINED,)
OPERATOR_SCOPES = (
    *EDGE_SCOPES,
    *AGGREGATOR_SCOPES,
    *KEY_SERVER_SCOPES,
    *QUERY_SCOPES,
    HITS_WRITE,
    LINKS_WRITE,
    KEYS_READ,
    KEYS_WRITE,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was known."""

    name: str
    scopes: frozenset[Scope]

    def require(self, *scopes: Scope) -> None:
        """Refuse unless one of *scopes* was granted."""
        if self.scopes.isdisjoint(scopes):
            wanted = " or ".join(map(repr, scopes))
            msg = f"the token {self.name!r} lacks the scope {wanted}"
            raise ForbiddenError(msg)


def new_token(entropy: Entropy) -> str:
    """Make a token.  The prefix lets secret scanners find a leaked one."""
    return f"milepost_{entropy(TOKEN_BYTES).hex()}"


def token_hash(token: str) -> bytes:
    """Return what a tokens file keeps of *token*."""
    # A header may hold bytes that are no text; they hash to something that nobody has.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def tokens_document(entries: Iterable[tuple[str, Iterable[Scope], str]]) -> bytes:
    """Return the tokens file for (name, scopes, token) entries."""
    tokens = [
        {"name": name, "scopes": list(scopes), "hash": token_hash(token).hex()}
        for name, scopes, token in entries
    ]
    return orjson.dumps({"tokens": tokens}, option=orjson.OPT_INDENT_2)


class TokenBook:
    """Everybody who may call."""

    def __init__(self, entries: Iterable[tuple[bytes, Principal]]) -> None:
        self._entries = tuple(entries)

    @classmethod
    def load(cls, path: Path) -> "TokenBook":
        """Read a tokens file."""
        try:
            document = orjson.loads(path.read_bytes())
            return cls(
                (
                    bytes.fromhex(entry["hash"]),
                    Principal(entry["name"], frozenset(map(Scope, entry["scopes"]))),
                )
                for entry in document["tokens"]
            )
        except OSError as error:
            msg = f"tokens file {path}: {error.strerror}"
            raise ConfigError(msg) from error
        except (KeyError, TypeError, ValueError) as error:
            msg = f"tokens file {path}: want {{'tokens': [{{'name', 'scopes', 'hash'}}]}}"
            raise ConfigError(msg) from error

    def authenticate(self, authorization: str | None) -> Principal:
        """Return who sent this Authorization header, or refuse."""
        if not authorization or authorization[: len(BEARER)].lower() != BEARER:
            msg = "send the header Authorization: Bearer <token>"
            raise UnauthorizedError(msg)
        shown = token_hash(authorization[len(BEARER) :].strip())
        found: Principal | None = None
        for known, principal in self._entries:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, shown):
                found = principal
        if found is None:
            msg = "the bearer token is not known here"
            raise UnauthorizedError(msg)
        return found
