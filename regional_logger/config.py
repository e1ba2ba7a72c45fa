"""The edge's settings, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from milepost.config import EnvReader, Listener, Secret
from milepost.epochs import PUBLIC_KEY_BYTES
from milepost.vocabulary import Region

MEGABYTE = 1_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Config:
    """What one edge needs to know.  Meanings and limits stand in milepost.settings."""

    data: Path
    region: Region
    machine: str
    public: tuple[Listener, ...]
    private: tuple[Listener, ...]
    tokens_file: Path
    token: Secret
    keys_url: str
    keys_identity: bytes
    links_url: str
    litestream_socket: str
    replica_url: str
    durable: bool
    accept_budget_seconds: float
    addresses: str
    client_ip: str
    queue_records_max: int
    queue_bytes_max: int
    batch_records_max: int
    stream_bytes_max: int
    stream_age_ms_max: int
    log_keep_ms: int
    disk_high_ratio: float
    workers: int
    links_memory_bytes: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read the settings, or raise one ConfigError that names every fault."""
        with EnvReader(env) as read:
            socket, replica_url = read.replication()
            return cls(
                data=read.path("DATA").absolute(),
                region=Region(read.short_name("REGION")),
                machine=read.short_name("MACHINE", capitals=True),
                public=read.listeners("LISTEN"),
                private=read.listeners("PRIVATE_LISTEN"),
                tokens_file=read.path("TOKENS_FILE"),
                token=read.secret("TOKEN"),
                keys_url=read.url("KEYS_URL"),
                keys_identity=read.hex_bytes("KEYS_IDENTITY", PUBLIC_KEY_BYTES),
                links_url=read.url("LINKS_URL"),
                litestream_socket=socket,
                replica_url=replica_url,
                durable=read.text("ACCEPT") == "durable",
                accept_budget_seconds=read.integer("ACCEPT_BUDGET_MS") / 1000,
                addresses=read.text("ADDRESSES"),
                client_ip=_client_ip(read),
                queue_records_max=read.integer("QUEUE_RECORDS_MAX"),
                queue_bytes_max=read.integer("QUEUE_MB") * MEGABYTE,
                batch_records_max=read.integer("BATCH_RECORDS_MAX"),
                stream_bytes_max=read.integer("STREAM_MB") * MEGABYTE,
                stream_age_ms_max=read.integer("STREAM_HOURS") * HOUR_MS,
                log_keep_ms=read.integer("LOG_KEEP_HOURS") * HOUR_MS,
                disk_high_ratio=read.integer("DISK_HIGH_PERCENT") / 100,
                workers=read.integer("WORKERS"),
                links_memory_bytes=read.integer("LINKS_MEMORY_MB") * MEGABYTE,
            )


def _client_ip(read: EnvReader) -> str:
    text = read.text("CLIENT_IP")
    if not re.fullmatch(r"peer|fly|forwarded:[1-9]", text):
        read.fault("CLIENT_IP", f"want peer, fly, or forwarded:1 to forwarded:9, got {text!r}")
    return text
