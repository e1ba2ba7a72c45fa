"""The registry's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from link_registry.grants.backend import Target
from link_registry.own_hosts import OwnHosts
from link_registry.policy import Policy
from milepost.config import EnvReader, Listener
from milepost.links import WEB_SCHEMES, can_be_scheme

YES = ("yes", "1", "true")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the registry is told at its start.  Read once, in `__main__`."""

    data: Path
    machine: str
    private: tuple[Listener, ...]
    tokens_file: Path
    litestream_socket: str  # empty, together with the next: nothing is replicated
    replica_url: str
    policy: Policy
    origins: frozenset[str]
    cleanup: Target | None  # None: nobody cleans up after grants
    history_days: int  # for which changes are kept

    @property
    def database(self) -> Path:
        """Where the links are, as an absolute path."""
        return self.data.absolute() / "links.db"

    @property
    def replicated(self) -> bool:
        """Tell whether a litestream holds the database."""
        return bool(self.litestream_socket)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            socket, replica_url = read.replication()
            return cls(
                data=read.path("DATA"),
                machine=read.short_name("MACHINE", capitals=True),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                litestream_socket=socket,
                replica_url=replica_url,
                policy=Policy(schemes=_schemes(read), own=_own_hosts(read)),
                origins=read.origins("CORS_ORIGINS"),
                cleanup=_cleanup(read),
                history_days=read.integer("LINKS_HISTORY_DAYS"),
            )


def _parts(read: EnvReader, name: str) -> list[str]:
    return [part.strip() for part in read.text(name).split(",") if part.strip()]


def _schemes(read: EnvReader) -> frozenset[str]:
    schemes = frozenset(part.lower() for part in _parts(read, "LINK_SCHEMES"))
    for scheme in sorted(schemes):
        if not can_be_scheme(scheme):
            read.fault("LINK_SCHEMES", f"want schemes of apps such as myapp,tel, got {scheme!r}")
    return schemes | WEB_SCHEMES


def _own_hosts(read: EnvReader) -> OwnHosts:
    hosts, faults = OwnHosts.read(_parts(read, "OWN_HOSTS"))
    if faults:
        read.fault("OWN_HOSTS", f"want host, host:port or *.suffix, got {', '.join(faults)}")
    return hosts


def _cleanup(read: EnvReader) -> Target | None:
    url = read.url("CLEANUP_URL")
    allow_private = read.text("CLEANUP_ALLOW_PRIVATE") in YES
    if not url:
        return None
    parts = urlsplit(url)
    if "@" in parts.netloc or "?" in url or "#" in url:  # not repeated: there may be secrets in it
        read.fault("CLEANUP_URL", "want http://host/path, without a user, a ? or a #")
    return Target(url, read.secret("CLEANUP_TOKEN"), allow_private=allow_private)
