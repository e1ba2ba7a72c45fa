"""The edge's settings, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from milepost.config import EnvReader, Listener, Secret
from milepost.epochs import PUBLIC_KEY_BYTES
from milepost.vocabulary import Region
from regional_logger.targets import HostList, own_host, read_hosts

MEGABYTE = 1_000_000
HOUR_MS = 3_600_000
GEO_FILES_MAX = 2  # places and networks come apart


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
    hosts: frozenset[str]
    allowed_targets: HostList
    ban_file: Path | None
    root_url: str
    geo_files: tuple[Path, ...]
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
                hosts=_hosts(read),
                allowed_targets=_allowed_targets(read),
                ban_file=_ban_file(read),
                root_url=_root_url(read),
                geo_files=_geo_files(read),
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


def _parts(read: EnvReader, name: str) -> list[str]:
    return [part.strip() for part in read.text(name).split(",") if part.strip()]


def _hosts(read: EnvReader) -> frozenset[str]:
    found = {part: own_host(part) for part in _parts(read, "HOSTS")}
    for part, name in found.items():
        if name is None:
            read.fault("HOSTS", f"want host names such as click.example, got {part!r}")
    return frozenset(name for name in found.values() if name is not None)


def _allowed_targets(read: EnvReader) -> HostList:
    parts = _parts(read, "ALLOWED_TARGETS")
    hosts, faults = read_hosts(parts)
    if faults:
        read.fault("ALLOWED_TARGETS", f"want host or *.suffix, got {', '.join(faults)}")
    elif not parts and read.text("ALLOWED_TARGETS"):
        # Somebody meant to close it: a list of nothing but commas must not open it.
        read.fault("ALLOWED_TARGETS", "names no host")
    return hosts


def _ban_file(read: EnvReader) -> Path | None:
    text = read.text("BAN_FILE")
    return Path(text).absolute() if text else None


def _root_url(read: EnvReader) -> str:
    text = read.text("ROOT_URL")
    if text and not _is_web_address(text):
        read.fault("ROOT_URL", f"want an http or https URL, got {text!r}")
    return text


def _is_web_address(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"https?://[\x21-\x7e]+", text) and urlsplit(text).hostname)
    except ValueError:
        return False


def _geo_files(read: EnvReader) -> tuple[Path, ...]:
    parts = [part.strip() for part in read.text("GEO_FILE").split(",")]
    paths = tuple(Path(part).absolute() for part in parts if part)
    if len(paths) > GEO_FILES_MAX or len(set(paths)) != len(paths):
        read.fault("GEO_FILE", f"want at most {GEO_FILES_MAX} files, each once")
    return paths
