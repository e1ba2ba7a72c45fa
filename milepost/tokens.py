"""Bearer tokens: who calls, and what they may do.

Further tokens are kept in the databases of the aggregator and of the registry
(milepost.access); what stands here holds for those as well.

A tokens file holds names, scopes and hashes, never a token.  A token is 256
random bits, so a plain hash of it is as good as a slow one.  Every comparison
takes the same time whether and where it matches.

Where an entry has the scope `edge`, the file also holds the id of its token and
the key of the MAC in that edge's address boxes.  Neither leads to the token, but
whoever has the key can make boxes in that edge's name, and has them answered if
they hold a token with the scope `open` as well: the file is for its owner alone.
"""

import contextlib
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from milepost.batch import hex_bytes
from milepost.clock import Entropy
from milepost.errors import ConfigError, ForbiddenError, RejectedError, UnauthorizedError
from milepost.seal import MAC_KEY_BYTES, TOKEN_ID_BYTES, address_mac_key, token_id
from milepost.vocabulary import Millis, Scope

TOKEN_BYTES = 32
BEARER = "bearer "

EDGE = Scope("edge")  # epochs and salts from the key server
FEED = Scope("feed")  # the link feed from the registry
PULL = Scope("pull")  # batches from an edge
ACKNOWLEDGE = Scope("acknowledge")  # let an edge forget what is safe elsewhere
OPEN = Scope("open")  # record keys and hashes from the key server
HITS_READ = Scope("hits:read")  # the aggregator's query API
HITS_WRITE = Scope("hits:write")  # have the aggregator try again, or write off, what is missing
ERASE_WRITE = Scope("erase:write")  # remove hits for good, and reclassify what is stored
LINKS_READ = Scope("links:read")
LINKS_WRITE = Scope("links:write")
LINKS_COUNT = Scope("links:count")  # tell the registry how many clicks limited links have had
GRANTS_READ = Scope("grants:read")
GRANTS_WRITE = Scope("grants:write")  # make, extend and end grants
KEYS_READ = Scope("keys:read")  # the epochs' states, nothing secret
KEYS_WRITE = Scope("keys:write")  # rotate and destroy
ADDRESSES = Scope("addresses")  # sealed addresses themselves; nobody has it unless given by hand
DRAINED = Scope("drained")  # ask the aggregator what still needs an epoch's record key
TOKENS_READ = Scope("tokens:read")  # list the tokens that a service keeps, nothing secret
TOKENS_WRITE = Scope("tokens:write")  # make tokens that may do no more than oneself, and end them

QUERY_SCOPES = (HITS_READ, LINKS_READ)
EDGE_SCOPES = (EDGE, FEED)
AGGREGATOR_SCOPES = (PULL, ACKNOWLEDGE, OPEN, LINKS_COUNT, LINKS_READ)
KEY_SERVER_SCOPES = (DRAINED,)
SERVICE_SCOPES = frozenset({*EDGE_SCOPES, *AGGREGATOR_SCOPES, *KEY_SERVER_SCOPES})
OPERATOR_SCOPES = (
    *EDGE_SCOPES,
    *AGGREGATOR_SCOPES,
    *KEY_SERVER_SCOPES,
    HITS_READ,
    HITS_WRITE,
    ERASE_WRITE,
    LINKS_WRITE,
    GRANTS_READ,
    GRANTS_WRITE,
    KEYS_READ,
    KEYS_WRITE,
    TOKENS_READ,
    TOKENS_WRITE,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was known."""

    name: str
    scopes: frozenset[Scope]
    hosts: frozenset[str] = frozenset()  # nothing of other hosts is seen or changed; empty: all
    tags: frozenset[str] = frozenset()  # of links without any of these neither; empty: all
    rate: int | None = None  # calls a minute; None: as the service allows everybody
    expires_ms: Millis | None = None  # None: never

    @property
    def narrowed(self) -> bool:
        """Tell whether there is anything that this token does not see."""
        return bool(self.hosts or self.tags)

    @property
    def of_service(self) -> bool:
        """Tell whether it is a service of ours, which asks as often as its work takes."""
        only_reads = self.scopes <= {LINKS_READ}
        return self.rate is None and self.scopes <= SERVICE_SCOPES and not only_reads

    def restriction(self) -> str:
        """Return in words what it is restricted to."""
        parts = [
            f"the {what} {', '.join(sorted(values))}"
            for what, values in (("hosts", self.hosts), ("tags", self.tags))
            if values
        ]
        return " and ".join(parts) or "nothing"

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
    tokens = [_entry(name, tuple(scopes), token) for name, scopes, token in entries]
    return orjson.dumps({"tokens": tokens}, option=orjson.OPT_INDENT_2)


def _entry(name: str, scopes: tuple[Scope, ...], token: str) -> dict[str, Any]:
    entry = {"name": name, "scopes": list(scopes), "hash": token_hash(token).hex()}
    if EDGE in scopes:
        entry |= {"token_id": token_id(token).hex(), "mac_key": address_mac_key(token).hex()}
    return entry


class TokenBook:
    """Everybody who may call."""

    def __init__(self, entries: Iterable[tuple[bytes, Principal]]) -> None:
        self._entries = tuple(entries)

    @classmethod
    def load(cls, path: Path) -> "TokenBook":
        """Read a tokens file."""
        with _reading(path):
            return cls(
                (
                    bytes.fromhex(entry["hash"]),
                    Principal(entry["name"], frozenset(map(Scope, entry["scopes"]))),
                )
                for entry in orjson.loads(path.read_bytes())["tokens"]
            )

    def authenticate(self, authorization: str | None) -> Principal:
        """Return who sent this Authorization header, or refuse."""
        if not authorization or authorization[: len(BEARER)].lower() != BEARER:
            msg = "send the header Authorization: Bearer <token>"
            raise UnauthorizedError(msg)
        found = self.find(token_hash(authorization[len(BEARER) :].strip()))
        if found is None:
            msg = "the bearer token is not known here"
            raise UnauthorizedError(msg)
        return found

    def find(self, shown: bytes) -> Principal | None:
        """Return whose token has the hash *shown*; None: nobody's."""
        found: Principal | None = None
        for known, principal in self._entries:  # all of them, so that time tells nothing
            if hmac.compare_digest(known, shown):
                found = principal
        return found

    def knows(self, name: str) -> bool:
        """Tell whether a token has this *name*."""
        return any(principal.name == name for _, principal in self._entries)


@dataclass(frozen=True, slots=True)
class MacKeys:
    """The MAC key of each edge, by the id of its token.  The key server alone reads them."""

    known: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    without: tuple[str, ...] = ()  # edges whose entry is of an older file and has none

    @classmethod
    def load(cls, path: Path) -> "MacKeys":
        """Read them from a tokens file."""
        known: dict[bytes, bytes] = {}
        without: list[str] = []
        with _reading(path):
            for entry in orjson.loads(path.read_bytes())["tokens"]:
                if EDGE not in entry["scopes"]:
                    continue
                if "mac_key" not in entry:
                    without.append(str(entry["name"]))
                    continue
                name = hex_bytes(entry["token_id"], TOKEN_ID_BYTES, "token_id")
                known[name] = hex_bytes(entry["mac_key"], MAC_KEY_BYTES, "mac_key")
        return cls(known, tuple(without))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name *path* in whatever is wrong with it."""
    try:
        yield
    except OSError as error:
        msg = f"tokens file {path}: {error.strerror}"
        raise ConfigError(msg) from error
    except (KeyError, TypeError, ValueError, RejectedError) as error:
        msg = f"tokens file {path}: want {{'tokens': [{{'name', 'scopes', 'hash'}}]}}"
        if isinstance(error, RejectedError):
            msg = f"tokens file {path}: {error}"
        raise ConfigError(msg) from error
