"""The aggregator's settings, read once."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from aggregator.discovery.finding import Where
from aggregator.forgetting.ages.rules import Ages
from milepost.config import EnvReader, Listener, Secret
from milepost.epochs import IDENTITY_BYTES
from milepost.litestream import find_program
from milepost.settings import PREFIX


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the aggregator needs to know.  Meanings and limits stand in milepost.settings."""

    data: Path
    machine: str
    private: tuple[Listener, ...]
    tokens_file: Path
    token: Secret
    keys_url: str
    keys_identity: bytes
    links_url: str  # empty: no click limits are kept
    sources: tuple[str, ...]
    where: Where | None  # the machines to find in the DNS; None: there are only *sources*
    dns: Listener | None  # None: as this machine is configured
    origins: frozenset[str]  # whose pages may call from a browser
    litestream_socket: str
    replica_url: str
    litestream: str  # the program; empty: it was not found
    query_rows: int  # looked at for one question, at most
    query_seconds: int
    ages: Ages
    store_env: Mapping[str, str] = field(repr=False)  # what reaching the object store takes

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            socket, replica_url = read.replication()
            return cls(
                data=read.path("DATA").absolute(),
                machine=read.text("MACHINE"),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                token=read.secret("TOKEN"),
                keys_url=read.url("KEYS_URL"),
                keys_identity=read.hex_bytes("KEYS_IDENTITY", IDENTITY_BYTES),
                links_url=read.url("LINKS_URL") if env.get(f"{PREFIX}LINKS_URL") else "",
                sources=read.urls("SOURCES"),
                where=_where(read),
                dns=_dns(read),
                origins=read.origins("CORS_ORIGINS"),
                litestream_socket=socket,
                replica_url=replica_url,
                litestream=read.text("LITESTREAM") or find_program(sys.executable, env.get("PATH")),
                query_rows=read.integer("QUERY_ROWS"),
                query_seconds=read.integer("QUERY_SECONDS"),
                ages=Ages(
                    days=read.integer("RETENTION_DAYS"),
                    link_days=read.integer("RETENTION_LINK_DAYS"),
                    orphan_days=read.integer("RETENTION_ORPHAN_DAYS"),
                ),
                store_env={name: env[name] for name in env if not name.startswith(PREFIX)},
            )

    @property
    def scratch(self) -> Path:
        """Return the folder into which replicas are restored."""
        return self.data / "replicas.scratch"

    @property
    def database(self) -> Path:
        """Return where the combined database lies."""
        return self.data / "combined.db"


def _where(read: EnvReader) -> Where | None:
    app = read.short_name("SOURCES_APP") if read.text("SOURCES_APP") else ""
    where = Where(app, read.short_name("SOURCES_GROUP"), read.integer("SOURCES_PORT"))
    if app:
        return where
    if not read.text("SOURCES"):
        read.fault("SOURCES", "missing; name the edges, or their app in MILEPOST_SOURCES_APP")
    return None


def _dns(read: EnvReader) -> Listener | None:
    if not read.text("DNS"):
        return None
    servers = read.listeners("DNS")
    try:
        (server,) = servers
        ip_address(server.host)
    except ValueError:
        read.fault("DNS", f"want one address:port, got {read.text('DNS')!r}")
        return None
    return server
